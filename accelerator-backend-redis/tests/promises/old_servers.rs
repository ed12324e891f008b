//! Servers before 7.0, which don't take `SET .. NX GET`. A proxy plays that part in front of a real server: it answers
//! such commands as they do and passes everything else on.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};
use accelerator_core::{Filled, L2Read, L2Store, l2_laws};

use crate::support::{LONG, builder, key, keys, lease, raw, refs, value};

/// What a server of 6.2 says to it.
const REFUSAL: &[u8] = b"-ERR syntax error\r\n";

static SERVER: LazyLock<Option<(RedisServer, String)>> = LazyLock::new(|| {
    let server = RedisServer::start()?;
    let addr = older(server.addr());
    Some((server, addr))
});

/// A server as an older one would be: the address of the proxy.
fn older(upstream: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&upstream).expect("the server");
            thread::spawn(move || serve(client, server).unwrap_or_default());
        }
    });
    addr
}

/// Answers one command after the other.
fn serve(client: TcpStream, server: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut questions, mut client) = (BufReader::new(client.try_clone()?), client);
    let (mut answers, mut server) = (BufReader::new(server.try_clone()?), server);
    loop {
        let question = message(&mut questions)?;
        let words: Vec<_> = question.split(|&byte| byte == b'\n').collect();
        let has = |word: &str| words.contains(&format!("{word}\r").as_bytes());
        if has("SET") && has("NX") && has("GET") {
            client.write_all(REFUSAL)?;
        } else {
            server.write_all(&question)?;
            client.write_all(&message(&mut answers)?)?;
        }
    }
}

/// The bytes of one command or answer.
fn message(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if from.read_until(b'\n', &mut out)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let number = || String::from_utf8_lossy(&out[1..]).trim().parse::<i64>().unwrap_or(-1);
    match out[0] {
        b'$' if number() >= 0 => {
            let mut string = vec![0; number() as usize + 2];
            from.read_exact(&mut string)?;
            out.extend(string);
        }
        b'*' => {
            for _ in 0..number() {
                let part = message(from)?;
                out.extend(part);
            }
        }
        _ => {}
    }
    Ok(out)
}

async fn old_store() -> Option<RedisStore> {
    let (_, addr) = SERVER.as_ref()?;
    Some(builder(format!("redis://{addr}")).connect().await.expect("a connection"))
}

l2_laws!(before_7_0, {
    let Some(store) = old_store().await else { return };
    store
});

#[tokio::test]
async fn the_part_is_played_well() {
    let Some((_, addr)) = SERVER.as_ref() else { return };
    let ask = |words: &[&str]| {
        let mut question = format!("*{}\r\n", words.len());
        for word in words {
            question.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        raw(addr, question.trim_end())
    };
    assert_eq!(ask(&["SET", "k", "v", "NX", "GET", "PX", "9"]), "-ERR syntax error");
    assert_eq!(ask(&["SET", "k", "v", "PX", "9"]), "+OK");
}

#[tokio::test]
async fn it_is_found_out_once_per_connection() {
    let Some((_, addr)) = SERVER.as_ref() else { return };
    let proxy = CountingProxy::start(addr.clone()).await;
    let store = builder(format!("redis://{}", proxy.addr())).connect().await.expect("a connection");
    lease(&store, &key()).await;
    let (one, many) = (key(), keys(32));
    // The script is known by now.
    proxy.reset();
    let token = lease(&store, &one).await;
    assert_eq!(proxy.round_trips(), 1, "a miss");
    store.fill(&one, &token, value("v"), LONG).await.expect("fill");
    proxy.reset();
    assert!(matches!(store.get_or_lease(&one, LONG).await, Ok(L2Read::Hit { .. })));
    assert_eq!(proxy.round_trips(), 1, "a hit");
    proxy.reset();
    let reads = store.mget_or_lease(&refs(&many), LONG).await;
    assert_eq!(proxy.round_trips(), 1, "a batch");
    assert!(reads.iter().all(|read| matches!(read, Ok(L2Read::Leased { .. }))), "{reads:?}");
}

#[tokio::test]
async fn a_batch_finds_it_out_too() {
    let Some(store) = old_store().await else { return };
    let (there, free, busy) = (key(), key(), key());
    store.set(&there, value("there"), LONG).await.expect("set");
    {
        let other = old_store().await.expect("a server");
        lease(&other, &busy).await;
    }
    let mut reads = store.mget_or_lease(&[&there, &free, &busy], LONG).await.into_iter();
    let mut next = || reads.next().expect("three answers").expect("mget_or_lease");
    assert!(matches!(next(), L2Read::Hit { .. }));
    let L2Read::Leased { token, .. } = next() else { panic!("no lease") };
    assert_eq!(next(), L2Read::Busy);
    assert_eq!(store.fill(&free, &token, value("v"), LONG).await.expect("fill"), Filled::Stored);
}

#[tokio::test]
async fn a_full_one_is_still_read() {
    // The refusal comes out of the script there.
    let Some(server) = RedisServer::builder().maxmemory("1").start() else { return };
    let store = builder(format!("redis://{}", older(server.addr()))).connect().await.expect("a connection");
    assert_eq!(store.get_or_lease("k", LONG).await.expect("read"), L2Read::NoLease);
    let reads = store.mget_or_lease(&["k", "l"], LONG).await;
    assert!(reads.iter().all(|read| matches!(read, Ok(L2Read::NoLease))), "{reads:?}");
}
