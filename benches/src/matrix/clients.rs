//! The clients of the servers alone: what a careful engineer does with them.

use std::time::Duration;

use accelerator::Bytes;
use memcache::exp::{AsyncMetaClient, Get, Set};
use redis::aio::MultiplexedConnection;

use crate::matrix::Servers;
use crate::matrix::servers::{PATIENCE, address};

const TTL: Duration = Duration::from_secs(120);

/// A raw client of a server.
pub(super) enum Client {
    Redis(MultiplexedConnection),
    Memcached(AsyncMetaClient),
}

impl Client {
    /// Of the store `name`.
    pub(super) async fn connect(name: &str, servers: &Servers) -> Self {
        let url = servers.url(name).unwrap_or_default();
        match name {
            "redis" => {
                let client = redis::Client::open(url).expect("a URL that was checked");
                let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
                let connection = client.get_multiplexed_async_connection_with_config(&config).await;
                Self::Redis(connection.expect("a server that answered"))
            }
            _ => {
                let client = AsyncMetaClient::builder().io_timeout(Some(PATIENCE)).connect_async(address(url)).await;
                Self::Memcached(client.expect("a server that answered"))
            }
        }
    }

    pub(super) async fn get(&self, key: &str) -> Option<Bytes> {
        match self {
            Self::Redis(connection) => {
                let bytes = redis::cmd("GET").arg(key).query_async::<Option<Vec<u8>>>(&mut connection.clone()).await;
                bytes.expect("an answer").map(Bytes::from)
            }
            Self::Memcached(client) => client.get(key).send().await.expect("an answer").value.map(Bytes::from),
        }
    }

    pub(super) async fn set(&self, key: &str, value: Bytes) {
        match self {
            Self::Redis(connection) => {
                let mut set = redis::cmd("SET");
                set.arg(key).arg(&value[..]).arg("EX").arg(TTL.as_secs());
                set.exec_async(&mut connection.clone()).await.expect("an answer");
            }
            Self::Memcached(client) => {
                client.run(Set::new(key, &value[..]).ttl(TTL)).await.expect("an answer");
            }
        }
    }

    /// In one call.
    pub(super) async fn get_many(&self, keys: &[String]) -> Vec<Option<Bytes>> {
        match self {
            Self::Redis(connection) => {
                let mut connection = connection.clone();
                let found: redis::RedisResult<Vec<Option<Vec<u8>>>> =
                    redis::cmd("MGET").arg(keys).query_async(&mut connection).await;
                found.expect("an answer").into_iter().map(|bytes| bytes.map(Bytes::from)).collect()
            }
            Self::Memcached(client) => {
                let found = client.run_many(keys.iter().map(Get::new)).await.expect("an answer");
                found.into_iter().map(|one| one.expect("an answer").value.map(Bytes::from)).collect()
            }
        }
    }

    /// In one pipeline.
    pub(super) async fn set_many(&self, items: &[(String, Bytes)]) {
        match self {
            Self::Redis(connection) => {
                let mut pipe = redis::pipe();
                for (key, value) in items {
                    pipe.cmd("SET").arg(key).arg(&value[..]).arg("EX").arg(TTL.as_secs()).ignore();
                }
                pipe.exec_async(&mut connection.clone()).await.expect("an answer");
            }
            Self::Memcached(client) => {
                let sets = items.iter().map(|(key, value)| Set::new(key, &value[..]).ttl(TTL));
                for set in client.run_many(sets).await.expect("an answer") {
                    set.expect("an answer");
                }
            }
        }
    }
}
