//! The server of a run: one of its own, or the one that was given.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use accelerator::testkit::server::{MemcachedServer, NatsServer, RedisServer};
use anyhow::{Context, ensure};

use crate::backend::Backend;

const ANSWER: Duration = Duration::from_secs(5);

pub(crate) enum Server {
    Redis(RedisServer),
    Memcached(MemcachedServer),
    Nats(NatsServer),
    /// Somebody else's, or none.
    Given(String),
}

impl Server {
    /// Starts one, unless there is one at `url`.
    pub(crate) fn start(backend: Backend, url: Option<&str>) -> anyhow::Result<Self> {
        if let Some(url) = url {
            return Ok(Self::Given(url.to_owned()));
        }
        Ok(match backend {
            Backend::Redis => Self::Redis(own("redis-server", RedisServer::start)?),
            Backend::Memcached => Self::Memcached(own("memcached", MemcachedServer::start)?),
            Backend::Memory => Self::Given("memory".into()),
        })
    }

    /// A server that is a bus and nothing else.
    pub(crate) fn start_nats() -> anyhow::Result<Self> {
        Ok(Self::Nats(own("nats-server", NatsServer::start)?))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Memcached(server) => server.addr(),
            Self::Nats(server) => server.url(),
            Self::Given(url) => url.clone(),
        }
    }

    pub(crate) fn stop(&self) {
        match self {
            Self::Redis(server) => server.stop(),
            Self::Memcached(server) => server.stop(),
            Self::Nats(server) => server.stop(),
            Self::Given(_) => {}
        }
    }

    pub(crate) fn cont(&self) {
        match self {
            Self::Redis(server) => server.cont(),
            Self::Memcached(server) => server.cont(),
            Self::Nats(server) => server.cont(),
            Self::Given(_) => {}
        }
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Redis(server) => server.kill(),
            Self::Memcached(server) => server.kill(),
            Self::Nats(server) => server.kill(),
            Self::Given(_) => {}
        }
    }

    /// Closes the connections of all who listen to channels.
    pub(crate) fn cut_listeners(&self) -> io::Result<()> {
        self.ask("CLIENT KILL TYPE pubsub").map(drop)
    }

    /// What Redis answers to a command without spaces in its words.
    pub(crate) fn ask(&self, command: &str) -> io::Result<String> {
        let Self::Redis(server) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = TcpStream::connect(server.addr())?;
        stream.set_read_timeout(Some(ANSWER))?;
        (&stream).write_all(format!("{command}\r\n").as_bytes())?;
        let (mut from, mut answer) = (BufReader::new(&stream), String::new());
        from.read_line(&mut answer)?;
        match answer.trim_end().split_at_checked(1) {
            Some(("$", length)) => {
                let mut text = vec![0; length.parse().map_err(io::Error::other)?];
                from.read_exact(&mut text)?;
                String::from_utf8(text).map_err(io::Error::other)
            }
            Some((":" | "+", text)) => Ok(text.to_owned()),
            _ => Err(io::Error::other(format!("the server answers {answer:?} to {command}"))),
        }
    }

    /// The process of a server of one's own.
    pub(crate) fn process(&self) -> Option<u32> {
        match self {
            Self::Redis(server) => server.id(),
            Self::Memcached(server) => server.id(),
            Self::Nats(server) => server.id(),
            Self::Given(_) => None,
        }
    }

    pub(crate) fn restart(&self) {
        match self {
            Self::Redis(server) => server.restart(),
            Self::Memcached(server) => server.restart(),
            Self::Nats(server) => server.restart(),
            Self::Given(_) => {}
        }
    }
}

fn own<S>(program: &str, start: impl FnOnce() -> Option<S>) -> anyhow::Result<S> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ensure!(
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file()),
        "{program} is not installed (on Debian: apt-get install {program}); or give --url"
    );
    start().with_context(|| format!("{program} is gone"))
}
