//! The first words with a server.
//!
//! 1 the server says what it is · 2 TLS, where the URL asks for it · 3 we say who we are, and ask for a first answer

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::dial::{Connected, Dialer};
use crate::connection::reply::{PING, Replies, Reply};
use crate::url::Login;

/// What a client tells of itself.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    name: &'a str,
    lang: &'a str,
    version: &'a str,
    protocol: u8,
    /// A bus brings the messages of its own node, too.
    echo: bool,
    /// The server takes them off messages of strangers.
    headers: bool,
}

/// Greets; `spoke` is set when the server has said something.
pub(crate) async fn greet(dialer: &Dialer, mut tcp: TcpStream, spoke: &mut bool) -> StoreResult<Connected> {
    let target = &dialer.target;
    let mut replies = Replies::new(dialer.max_message_bytes);
    // 1
    let info = match next(dialer, &mut tcp, &mut replies).await? {
        Reply::Info(info) => info,
        Reply::Refused(said) => return Err(dialer.refused("connect", &said)),
        _ => return Err(nonsense(dialer)),
    };
    *spoke = true;
    // 2
    let refused = |why: &str| StoreError::new(StoreErrorKind::Rejected, format!("{target}: {why}"));
    match (target.tls, info.tls_required) {
        (false, true) => return Err(refused("the server wants TLS: the URL takes tls:// in place of nats://")),
        (true, false) if !info.tls_available => return Err(refused("the server has no TLS: tls:// asks for it")),
        _ => {}
    }
    if target.tls && !replies.buffer.is_empty() {
        return Err(nonsense(dialer));
    }
    let mut stream = dialer.wrapped(tcp).await?;
    // 3
    let lost = |error| dialer.failed("the connection ended").with_source(error);
    stream.write_all(&hello(dialer)?).await.map_err(lost)?;
    let mut max_payload = info.max_payload;
    loop {
        match next(dialer, &mut stream, &mut replies).await? {
            Reply::Pong => return Ok(Connected { stream, replies, max_payload }),
            Reply::Info(info) => max_payload = info.max_payload,
            Reply::Okay => {}
            Reply::Ping => stream.write_all(crate::connection::reply::PONG).await.map_err(lost)?,
            Reply::Refused(said) => return Err(dialer.refused("connect", &said)),
            Reply::Message { .. } | Reply::TooLarge { .. } => return Err(nonsense(dialer)),
        }
    }
}

fn hello(dialer: &Dialer) -> StoreResult<BytesMut> {
    let (user, pass, auth_token) = match &dialer.target.login {
        Login::Nobody => (None, None, None),
        Login::User { name, password } => (Some(name.as_str()), Some(password.as_str()), None),
        Login::Token(token) => (None, None, Some(token.as_str())),
    };
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: dialer.target.tls,
        user,
        pass,
        auth_token,
        name: "accelerator",
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        echo: true,
        headers: false,
    };
    // The error of the library may repeat what it was given.
    let json = serde_json::to_vec(&connect)
        .map_err(|_| StoreError::new(StoreErrorKind::Other, "connect: a login that can't be written as JSON"))?;
    let mut bytes = BytesMut::from(&b"CONNECT "[..]);
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(PING);
    Ok(bytes)
}

async fn next(dialer: &Dialer, stream: &mut (impl AsyncRead + Unpin), replies: &mut Replies) -> StoreResult<Reply> {
    loop {
        if let Some(reply) = replies.next().map_err(|_| nonsense(dialer))? {
            return Ok(reply);
        }
        match stream.read_buf(&mut replies.buffer).await {
            Ok(1..) => {}
            Ok(0) => return Err(dialer.failed("the server closed the connection before it had answered")),
            Err(error) => return Err(dialer.failed("the connection ended").with_source(error)),
        }
    }
}

fn nonsense(dialer: &Dialer) -> StoreError {
    let context = format!("{}: the server doesn't speak the protocol of NATS", dialer.target);
    StoreError::new(StoreErrorKind::Protocol, context)
}
