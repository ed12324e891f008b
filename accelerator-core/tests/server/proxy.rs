//! What the proxy counts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use accelerator_core::testkit::block_on;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};

use super::wire::{ask, comes_true, connect, read};

/// Longer than a busy machine sleeps: a client that is silent for less is not taken to wait.
const PATIENT: Duration = Duration::from_millis(1500);

/// A server made of one function per connection, and its address.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, serve) = (client.expect("a client"), serve.clone());
            thread::spawn(move || serve(client));
        }
    });
    addr
}

/// Answers with what it is told, at once.
fn echo(mut client: TcpStream) {
    let mut back = client.try_clone().expect("the other half");
    let _ = std::io::copy(&mut client, &mut back);
    let _ = back.shutdown(Shutdown::Write);
}

fn proxy(upstream: String) -> CountingProxy {
    block_on(CountingProxy::start(upstream))
}

#[test]
fn each_question_that_waits_for_its_answer_is_one() {
    let proxy = proxy(server(echo));
    let mut client = connect(&proxy.addr()).expect("a connection");
    assert_eq!(proxy.round_trips(), 0, "a connection is none");
    for n in 1..=10 {
        assert_eq!(ask(&mut client, "question").expect("an answer"), "question");
        assert_eq!(proxy.round_trips(), n);
    }
    let mut other = connect(&proxy.addr()).expect("a connection");
    ask(&mut other, "question").expect("an answer");
    assert_eq!((proxy.round_trips(), proxy.bytes()), (11, 11 * 16), "connections are counted together");
    proxy.reset();
    assert_eq!((proxy.round_trips(), proxy.bytes()), (0, 0));
    ask(&mut client, "question").expect("an answer");
    assert_eq!(proxy.round_trips(), 1);
}

#[test]
fn a_pipeline_is_one_though_its_answer_begins_before_its_end() {
    // Tells when it has answered a part.
    let (heard, parts): (Sender<usize>, Receiver<usize>) = channel();
    let addr = server(move |mut client| {
        let mut buffer = [0; 64];
        while let Ok(n @ 1..) = client.read(&mut buffer) {
            client.write_all(&buffer[..n]).expect("an answer");
            heard.send(n).expect("a test");
        }
    });
    let proxy = block_on(CountingProxy::start_patient(addr, PATIENT));
    let mut client = connect(&proxy.addr()).expect("a connection");
    for part in ["one ", "two ", "three"] {
        client.write_all(part.as_bytes()).expect("a part");
        assert_eq!(parts.recv().expect("the server"), part.len());
    }
    let mut answer = [0; 13];
    client.read_exact(&mut answer).expect("the answer");
    assert_eq!((&answer, proxy.round_trips()), (b"one two three", 1));
    assert_eq!(ask(&mut client, "four").expect("an answer"), "four");
    assert_eq!(proxy.round_trips(), 2, "what is asked after the answer");
}

#[test]
fn an_answer_in_parts_is_one() {
    let (next, go): (Sender<()>, Receiver<()>) = channel();
    let go = std::sync::Arc::new(std::sync::Mutex::new(go));
    let addr = server(move |mut client| {
        let mut buffer = [0; 64];
        client.read_exact(&mut buffer[..3]).expect("a question");
        for part in ["a", "b", "c"] {
            client.write_all(part.as_bytes()).expect("a part");
            go.lock().expect("lock").recv().expect("the test");
        }
    });
    let proxy = proxy(addr);
    let mut client = connect(&proxy.addr()).expect("a connection");
    client.write_all(b"abc").expect("a question");
    for part in ["a", "b", "c"] {
        assert_eq!(read(&mut client).expect("a part"), part);
        next.send(()).expect("the server");
    }
    assert_eq!(proxy.round_trips(), 1);
}

#[test]
fn what_nobody_answers_or_nobody_asked_counts_nothing() {
    let proxy = proxy(server(|mut client| {
        client.write_all(b"unasked").expect("a greeting");
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("what is never answered");
    }));
    let mut client = connect(&proxy.addr()).expect("a connection");
    assert_eq!(read(&mut client).expect("a greeting"), "unasked");
    client.write_all(b"tell me").expect("a question");
    client.shutdown(Shutdown::Write).expect("an end");
    assert_eq!(read(&mut client).expect("the end"), "", "the server's end reaches the client");
    assert_eq!((proxy.round_trips(), proxy.bytes()), (0, 14));
}

/// A server that reads nothing while nobody takes its answers: a proxy that waited for one side would wait for ever.
#[test]
fn more_than_all_buffers_passes_both_ways() {
    const SIZE: usize = 32 << 20;
    let proxy = proxy(server(echo));
    let mut client = connect(&proxy.addr()).expect("a connection");
    let mut back = client.try_clone().expect("the other half");
    let answered = thread::spawn(move || {
        let mut answer = Vec::with_capacity(SIZE);
        back.read_to_end(&mut answer).expect("the answer");
        answer
    });
    let question: Vec<u8> = (0..SIZE).map(|i| (i / 251) as u8).collect();
    client.write_all(&question).expect("the question");
    client.shutdown(Shutdown::Write).expect("its end");
    assert!(answered.join().expect("a reader") == question, "bytes were lost or changed");
    assert_eq!(proxy.bytes(), 2 * SIZE as u64);
    assert!(proxy.round_trips() >= 1);
}

#[test]
fn a_server_that_goes_and_comes_back_is_reached_again() {
    let Some(redis) = RedisServer::start() else { return };
    let proxy = proxy(redis.addr());
    let mut client = connect(&proxy.addr()).expect("a connection");
    assert_eq!(ask(&mut client, "PING\r\n").expect("an answer"), "+PONG\r\n");
    redis.kill();
    assert_eq!(read(&mut client).unwrap_or_default(), "", "the connection ends with the server's");
    let mut refused = connect(&proxy.addr()).expect("the proxy is there");
    assert_eq!(ask(&mut refused, "PING\r\n").unwrap_or_default(), "", "without a server");
    redis.restart();
    let mut client = connect(&proxy.addr()).expect("a connection");
    assert_eq!(ask(&mut client, "PING\r\nPING\r\n").expect("an answer"), "+PONG\r\n+PONG\r\n");
    assert_eq!(proxy.round_trips(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_proxy_needs_nothing_of_the_tests_runtime() {
    let proxy = CountingProxy::start(server(echo)).await;
    let before = tokio::time::Instant::now();
    let mut client = connect(&proxy.addr()).expect("a connection");
    assert_eq!(ask(&mut client, "question").expect("an answer"), "question");
    assert_eq!((proxy.round_trips(), before.elapsed()), (1, Duration::ZERO));
}

#[test]
fn a_dropped_proxy_is_gone_with_its_connections() {
    let proxy = proxy(server(echo));
    let addr = proxy.addr();
    let mut client = connect(&addr).expect("a connection");
    ask(&mut client, "question").expect("an answer");
    drop(proxy);
    assert_eq!(read(&mut client).unwrap_or_default(), "");
    // A process that another test starts has the listener too, from its fork to its exec.
    assert!(comes_true(|| connect(&addr).is_err()), "somebody listens");
}
