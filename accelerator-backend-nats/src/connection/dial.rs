//! From an address to a connection that has answered once.

use std::time::Duration;

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connection::handshake;
use crate::connection::reply::Replies;
#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::url::ServerUrl;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(crate) type Stream = Box<dyn Duplex>;

/// A connection that has been greeted.
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    pub(crate) replies: Replies,
    /// The largest message that the server takes.
    pub(crate) max_payload: usize,
}

/// All that is needed to connect.
pub(crate) struct Dialer {
    pub(crate) target: ServerUrl,
    pub(crate) limit: Duration,
    /// The longest message that is kept.
    pub(crate) max_message_bytes: usize,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Dialer {
    /// Connects, logs in, and waits for a first answer: a server that only accepts may be stopped.
    pub(crate) async fn dial(&self) -> StoreResult<Connected> {
        let mut spoke = false;
        let connected = async {
            let address = (self.target.host.as_str(), self.target.port);
            let failed = |error| self.failed("no connection").with_source(error);
            let tcp = TcpStream::connect(address).await.map_err(failed)?;
            tcp.set_nodelay(true).map_err(failed)?;
            handshake::greet(self, tcp, &mut spoke).await
        };
        match tokio::time::timeout(self.limit, connected).await {
            Ok(result) => result,
            Err(_) => {
                let silent = if spoke { "" } else { "; a NATS server speaks first, is this one?" };
                Err(self.failed(&format!("no answer within connect_timeout = {:?}{silent}", self.limit)))
            }
        }
    }

    /// With a server that has a certificate, over TLS.
    #[cfg(feature = "tls")]
    pub(crate) async fn wrapped(&self, tcp: TcpStream) -> StoreResult<Stream> {
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let wrapped = tls.wrap(&self.target.host, tcp).await;
        Ok(Box::new(wrapped.map_err(|error| self.failed("no connection over TLS").with_source(error))?))
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) async fn wrapped(&self, tcp: TcpStream) -> StoreResult<Stream> {
        Ok(Box::new(tcp))
    }

    pub(crate) fn failed(&self, what: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {what}", self.target))
    }

    /// What the server said, unless its words repeat the password.
    pub(crate) fn refused(&self, doing: &str, said: &str) -> StoreError {
        if self.target.is_betrayed_by(said) {
            crate::server_error::error(doing, said, "(its words repeat the password)")
        } else {
            crate::server_error::error(doing, said, &crate::server_error::words(said))
        }
    }
}
