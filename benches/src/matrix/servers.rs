//! Where the servers are, and the stores that talk to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accelerator::{L2Store, StoreErrorKind, StoreResult};
use accelerator_backend_memcached::MemcachedStore;
use accelerator_backend_redis::RedisStore;

use crate::rows::L2;

/// On a machine that is busy with something else, no row should measure an L2 that was given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The servers of the stores that need one.
#[derive(Clone, Default)]
pub struct Servers(Vec<(&'static str, String)>);

impl Servers {
    /// As the environment names them.
    #[must_use]
    pub fn new(environment: impl Fn(&str) -> Option<String>) -> Self {
        let server = |(store, variable): &(&'static str, Option<&str>)| Some((*store, environment((*variable)?)?));
        Self(L2.iter().filter_map(server).collect())
    }

    /// Whether the variable is set.
    #[must_use]
    pub fn has(&self, variable: &str) -> bool {
        L2.iter().any(|(store, of)| *of == Some(variable) && self.url(store).is_some())
    }

    /// The URL of a store's server.
    #[must_use]
    pub fn url(&self, store: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == store).map(|(_, url)| url.as_str())
    }

    /// The same, with a proxy at `address` in front of the server of `store`.
    #[must_use]
    pub fn behind(&self, store: &str, address: &str) -> Self {
        let proxied = |(name, url): &(&'static str, String)| {
            (*name, if *name == store { url.replacen(self::address(url), address, 1) } else { url.clone() })
        };
        Self(self.0.iter().map(proxied).collect())
    }

    /// Asks a server for an answer.
    ///
    /// # Errors
    /// One line that names the variable, the address, and what is wrong.
    pub async fn check(&self, variable: &str) -> Result<(), String> {
        for (store, _) in L2.iter().filter(|(_, of)| *of == Some(variable)) {
            let url = self.url(store).unwrap_or_default();
            match self.store(store).await {
                Ok(_) => {}
                // A URL that was not understood is not to be shown: it may have a password in any part.
                Err(error) if error.kind() == StoreErrorKind::Other => return Err(format!("{variable}: {error:#}")),
                Err(error) => {
                    return Err(format!("{variable}: {store} at {} does not answer: {error:#}", address(url)));
                }
            }
        }
        Ok(())
    }

    /// The store of a name, connected; `None` for one that needs no server.
    pub(super) async fn store(&self, name: &str) -> StoreResult<Option<Arc<dyn L2Store>>> {
        let url = self.url(name).unwrap_or_default();
        Ok(match name {
            "redis" => Some(Arc::new(RedisStore::builder().url(url).response_timeout(PATIENCE).connect().await?)),
            "memcached" => {
                let servers = hosts(url).split(',');
                Some(Arc::new(MemcachedStore::builder().servers(servers).response_timeout(PATIENCE).connect().await?))
            }
            _ => None,
        })
    }
}

/// Their URLs may have passwords in them.
impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(store, _)| store)).finish()
    }
}

/// Of `scheme://user:password@host:port/path` what says where the servers are.
pub(super) fn hosts(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts)
}

/// The first server.
#[must_use]
pub fn address(url: &str) -> &str {
    hosts(url).split(',').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_takes_the_place_of_the_address_alone() {
        let environment = |name: &str| name.contains("REDIS").then(|| "redis://me:pass@127.0.0.1:6379/2".to_owned());
        let servers = Servers::new(environment);
        assert_eq!(servers.url("redis").map(address), Some("127.0.0.1:6379"));
        assert_eq!(servers.url("memcached"), None);
        let behind = servers.behind("redis", "127.0.0.1:9");
        assert_eq!(behind.url("redis"), Some("redis://me:pass@127.0.0.1:9/2"));
        assert_eq!(hosts("memcache://a:1,b:2"), "a:1,b:2");
        assert_eq!(address("a:1,b:2"), "a:1");
    }

    #[tokio::test]
    async fn a_password_is_in_no_message() {
        for url in [
            "redis://user:hunter2?x@host",
            "redis://user:hunter2/x@host",
            "redis://app:hunter2",
            "app:hunter2@host",
            "redis://app:hunter2@127.0.0.1:1",
        ] {
            for (_, variable) in L2 {
                let Some(variable) = variable else { continue };
                let servers = Servers::new(|name| (name == variable).then(|| url.to_owned()));
                let said = servers.check(variable).await.expect_err("no server");
                assert!(said.starts_with(variable) && !said.contains("hunter2"), "{said}");
                assert!(!format!("{servers:?}").contains("hunter2"), "{servers:?}");
            }
        }
    }
}
