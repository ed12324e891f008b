//! The server of a run: one of its own, or the one that was given.

use accelerator::testkit::server::{MemcachedServer, RedisServer};
use anyhow::{Context, ensure};

use crate::backend::Backend;

pub(crate) enum Server {
    Redis(RedisServer),
    Memcached(MemcachedServer),
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

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Memcached(server) => server.addr(),
            Self::Given(url) => url.clone(),
        }
    }

    pub(crate) fn stop(&self) {
        match self {
            Self::Redis(server) => server.stop(),
            Self::Memcached(server) => server.stop(),
            Self::Given(_) => {}
        }
    }

    pub(crate) fn cont(&self) {
        match self {
            Self::Redis(server) => server.cont(),
            Self::Memcached(server) => server.cont(),
            Self::Given(_) => {}
        }
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Redis(server) => server.kill(),
            Self::Memcached(server) => server.kill(),
            Self::Given(_) => {}
        }
    }

    pub(crate) fn restart(&self) {
        match self {
            Self::Redis(server) => server.restart(),
            Self::Memcached(server) => server.restart(),
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
