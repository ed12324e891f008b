//! Start, stop, continue, kill, restart, drop.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use accelerator_core::testkit::server::{MemcachedServer, NatsServer, RedisServer};

use super::wire::{ask, connect, exists, once, read};

/// All servers behind one set of calls, with the same questions asked of each.
enum Server {
    Redis(RedisServer),
    Memcached(MemcachedServer),
    Nats(NatsServer),
}

use Server::*;

macro_rules! on_each {
    ($self:ident, $server:ident => $call:expr) => {
        match $self {
            Redis($server) => $call,
            Memcached($server) => $call,
            Nats($server) => $call,
        }
    };
}

impl Server {
    /// One of each kind, where they are installed.
    fn each() -> impl Iterator<Item = Self> {
        let all =
            [RedisServer::start().map(Redis), MemcachedServer::start().map(Memcached), NatsServer::start().map(Nats)];
        all.into_iter().flatten()
    }

    fn addr(&self) -> String {
        on_each!(self, server => server.addr())
    }
    fn id(&self) -> Option<u32> {
        on_each!(self, server => server.id())
    }
    fn stop(&self) {
        on_each!(self, server => server.stop());
    }
    fn cont(&self) {
        on_each!(self, server => server.cont());
    }
    fn kill(&self) {
        on_each!(self, server => server.kill());
    }
    fn restart(&self) {
        on_each!(self, server => server.restart());
    }

    /// A connection, on which nothing is to be read.
    fn client(&self) -> io::Result<TcpStream> {
        let mut client = connect(&self.addr())?;
        if let Nats(_) = self {
            // It speaks first.
            assert!(read(&mut client)?.starts_with("INFO "));
        }
        Ok(client)
    }

    /// A question that a server answers by one line, and the beginning of that line.
    fn question(&self) -> (&str, &str) {
        match self {
            Redis(_) => ("PING\r\n", "+PONG\r\n"),
            Memcached(_) => ("version\r\n", "VERSION "),
            Nats(_) => ("PING\r\n", "PONG\r\n"),
        }
    }

    fn answers(&self) -> bool {
        let (question, answer) = self.question();
        self.client().and_then(|mut client| ask(&mut client, question)).is_ok_and(|line| line.starts_with(answer))
    }

    fn store(&self) {
        let (question, answer) = match self {
            Redis(_) => ("SET k v\r\n", "+OK\r\n"),
            Memcached(_) => ("set k 0 0 1\r\nv\r\n", "STORED\r\n"),
            Nats(_) => return,
        };
        assert_eq!(once(&self.addr(), question).expect("an answer"), answer);
    }

    fn is_empty(&self) -> bool {
        let (question, answer) = match self {
            Redis(_) => ("GET k\r\n", "$-1\r\n"),
            Memcached(_) => ("get k\r\n", "END\r\n"),
            Nats(_) => return true,
        };
        once(&self.addr(), question).expect("an answer") == answer
    }

    /// Whether it keeps what it is told.
    fn keeps(&self) -> bool {
        !matches!(self, Nats(_))
    }

    fn refuses(&self) -> bool {
        connect(&self.addr()).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

#[test]
fn a_started_server_answers_and_is_not_another_tests() {
    for (one, other) in Server::each().zip(Server::each()) {
        assert!(one.answers() && other.answers());
        one.store();
        assert!(!one.keeps() || !one.is_empty() && other.is_empty());
        assert!(one.id().is_some_and(exists) && one.id() != other.id());
    }
}

#[test]
fn a_stopped_server_answers_nobody_until_it_is_continued() {
    for server in Server::each() {
        let (question, answer) = server.question();
        let mut client = server.client().expect("a connection");
        server.stop();
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        ask(&mut client, question).expect_err("a stopped server answered");
        connect(&server.addr()).expect("the system takes connections for a stopped server");
        server.cont();
        client.set_read_timeout(Some(super::wire::PATIENCE)).expect("a timeout");
        assert!(read(&mut client).expect("the answer to what was asked meanwhile").starts_with(answer));
        // And again: the first stop must not be taken for the second.
        server.stop();
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        ask(&mut client, question).expect_err("a stopped server answered");
        server.cont();
    }
}

/// The states of a process's threads, as the system names them.
#[cfg(target_os = "linux")]
fn states(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let stats = tasks.map(|task| std::fs::read_to_string(task.expect("a thread").path().join("stat")).expect("a stat"));
    stats.map(|stat| stat.rsplit(") ").next().expect("a state")[..1].to_owned()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn when_stop_returns_no_thread_runs() {
    for server in Server::each() {
        let id = server.id().expect("a running server");
        for _ in 0..100 {
            server.stop();
            assert!(states(id).iter().all(|state| state == "T"), "{:?}", states(id));
            server.cont();
        }
    }
}

#[test]
fn a_killed_server_refuses_connections_and_breaks_those_it_had() {
    for server in Server::each() {
        let mut client = server.client().expect("a connection");
        let (question, _) = server.question();
        ask(&mut client, question).expect("an answer");
        let id = server.id().expect("a running server");
        server.kill();
        assert_eq!(read(&mut client).unwrap_or_default(), "", "the end of the connection");
        assert!(server.refuses() && !exists(id));
        assert_eq!(server.id(), None);
        // Killing the dead is nothing.
        server.kill();
    }
}

#[test]
fn a_restarted_server_has_the_same_port_and_nothing_in_it() {
    for server in Server::each() {
        let (addr, first) = (server.addr(), server.id());
        for how in [Server::kill, Server::stop, |_: &Server| ()] {
            server.store();
            how(&server);
            server.restart();
            assert!(server.answers() && server.is_empty());
            assert_eq!(server.addr(), addr);
            assert_ne!(server.id(), first);
        }
    }
}

#[test]
fn a_restart_waits_until_its_port_is_free() {
    for server in Server::each() {
        server.kill();
        let other = TcpListener::bind(server.addr()).expect("the port of a dead server");
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| server.restart());
            // The restart has found the port taken, or will find it free: it must end either way.
            std::thread::sleep(Duration::from_millis(200));
            assert!(!restart.is_finished(), "started on a port that another has");
            drop(other);
        });
        assert!(server.answers());
    }
}

#[test]
fn a_dropped_server_is_gone_stopped_or_not() {
    for stopped in [false, true] {
        for server in Server::each() {
            let (id, addr) = (server.id().expect("a running server"), server.addr());
            if stopped {
                server.stop();
            }
            drop(server);
            assert!(!exists(id), "the process is there");
            connect(&addr).expect_err("the port is open");
        }
    }
}
