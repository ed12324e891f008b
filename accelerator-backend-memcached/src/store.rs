//! The store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{
    Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, StoreError, StoreResult, async_trait,
};
use futures_util::future::join_all;

use crate::builder::MemcachedStoreBuilder;
use crate::command::{Command, LONGEST_KEY, lease_seconds, seconds};
use crate::fault::Fault;
use crate::lease::Proof;
use crate::meaning;
use crate::pipeline::Servers;
use crate::pool::Which;
use crate::reply::Reply;
use crate::server::Server;

/// An [`L2Store`] on one memcached or several, with leases.
///
/// A cheap handle: clones share connections. Calls need a tokio runtime with I/O and time enabled; without one they are
/// [`Unavailable`](accelerator_core::StoreErrorKind::Unavailable). A store may outlive the runtimes that it is used on.
///
/// A value that is too large, and a write for which the server has no memory, leave nothing under the key: the old value
/// is deleted, so that nobody reads it any more.
///
/// # Cancel safety
///
/// Every call may be dropped at any await. A connection whose exchange was not ended is closed, so no call ever gets the
/// reply of another. A write or delete that was dropped may or may not have happened.
#[derive(Clone)]
pub struct MemcachedStore(Arc<Servers>);

impl MemcachedStore {
    /// Begins to configure a store.
    #[must_use]
    pub fn builder() -> MemcachedStoreBuilder {
        MemcachedStoreBuilder::default()
    }

    pub(crate) fn new(servers: Servers) -> Self {
        Self(Arc::new(servers))
    }

    /// Asks every server for its version, and for a lease.
    pub(crate) async fn check(&self) -> StoreResult<()> {
        let key = format!("accelerator~check~{:016x}", fastrand::u64(..));
        let commands = [Command::Read { key: &key, lease: Some(lease_seconds(Duration::ZERO)) }, delete(&key)];
        let check = async |server: &Arc<Server>| {
            let outcome = self.0.exchange(server, Which::Any, &commands).await;
            let reply = outcome.replies.into_iter().next().ok_or_else(|| outcome.end.why());
            let read = reply.and_then(|reply| leased(reply, server, outcome.witnesses));
            match read {
                Ok(L2Read::Leased { .. }) => Ok(()),
                Ok(_) => Err(Fault::unsupported("it gives no leases").of(&server.name)),
                Err(why) => Err(why.of(&server.name)),
            }
        };
        futures_util::future::try_join_all(self.0.all.iter().map(check)).await.map(drop)
    }

    /// A write, or where the value is too large, what memcached would do: the old value goes.
    fn set_command<'a>(&self, key: &'a str, value: &'a [u8], ttl: Duration) -> Command<'a> {
        if self.fits(value) { Command::Store { key, value, ttl: seconds(ttl), cas: None } } else { delete(key) }
    }

    fn set_meaning(&self, value: &[u8], reply: &Reply) -> Result<(), Fault> {
        if self.fits(value) { meaning::stored(reply) } else { meaning::deleted(reply).and(Err(meaning::too_large())) }
    }

    /// What reads for leases say of keys that may be held. Leases of held keys go back: they are worth nothing.
    async fn unless_held(&self, keys: &[&str], reads: Vec<StoreResult<(L2Read, bool)>>) -> Vec<StoreResult<L2Read>> {
        let mut back = Vec::new();
        let unless_held = |(key, read): (&&str, StoreResult<(L2Read, bool)>)| match read? {
            (read, false) => Ok(read),
            (read, true) => {
                if let L2Read::Leased { token, .. } = read {
                    back.push((key.to_string(), token));
                }
                Ok(L2Read::Held)
            }
        };
        let reads = keys.iter().zip(reads).map(unless_held).collect();
        // What is not given back ends by itself.
        join_all(back.iter().map(|(key, token)| self.0.release(key, token))).await;
        reads
    }

    fn fits(&self, value: &[u8]) -> bool {
        value.len() <= self.0.settings.max_value_bytes
    }
}

fn read(key: &str) -> Command<'_> {
    Command::Read { key, lease: None }
}

fn delete(key: &str) -> Command<'_> {
    Command::Delete { key, cas: None }
}

fn leased(reply: Reply, server: &Server, witnesses: Which) -> Result<L2Read, Fault> {
    meaning::read_or_lease(reply, |cas| Proof { server: server.hash, witnesses, cas })
}

#[async_trait]
impl L2Store for MemcachedStore {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let (value, held) = self.0.one_and_hold(read(key), |reply, _, _| meaning::read(reply)).await?;
        Ok(value.filter(|_| !held))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        let command = self.set_command(key, &value, ttl);
        let ((), held) = self.0.one_and_hold(command, |reply, _, _| self.set_meaning(&value, &reply)).await?;
        if held {
            self.del(key).await?;
            return Err(StoreError::held());
        }
        Ok(())
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.0.one(delete(key), |reply, _, _| meaning::deleted(&reply)).await
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let commands = keys.iter().map(|key| read(key)).collect();
        let answers = self.0.many_and_hold(commands, |_, reply, _, _| meaning::read(reply)).await;
        answers.into_iter().map(|answer| answer.map(|(value, held)| value.filter(|_| !held))).collect()
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let commands = items.iter().map(|(key, value, ttl)| self.set_command(key, value, *ttl)).collect();
        let set = self.0.many_and_hold(commands, |at, reply, _, _| self.set_meaning(&items[at].1, &reply)).await;
        let held: Vec<&str> =
            items.iter().zip(&set).filter(|(_, set)| matches!(set, Ok((_, true)))).map(|(item, _)| item.0).collect();
        let mut deleted = if held.is_empty() { Vec::new() } else { self.mdel(&held).await }.into_iter();
        let answer = |set: StoreResult<((), bool)>| match set? {
            ((), false) => Ok(()),
            ((), true) => deleted.next().unwrap_or(Ok(())).and(Err(StoreError::held())),
        };
        set.into_iter().map(answer).collect()
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let commands = keys.iter().map(|key| delete(key)).collect();
        self.0.many(commands, |_, reply, _, _| meaning::deleted(&reply)).await
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        let command = Command::Read { key, lease: Some(lease_seconds(lease)) };
        match self.0.one_and_hold(command, leased).await? {
            (read, false) => Ok(read),
            held => self.unless_held(&[key], vec![Ok(held)]).await.pop().unwrap_or(Ok(L2Read::Held)),
        }
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let lease = Some(lease_seconds(lease));
        let commands = keys.iter().map(|key| Command::Read { key, lease }).collect();
        let reads =
            self.0.many_and_hold(commands, |_, reply, server, witnesses| leased(reply, server, witnesses)).await;
        self.unless_held(keys, reads).await
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        let answers = self.0.fill(vec![(key, *token, &value, seconds(ttl))]).await;
        answers.into_iter().next().unwrap_or(Ok(Filled::Lost))
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        self.0
            .fill(items.iter().map(|(key, token, value, ttl)| (*key, *token, &**value, seconds(*ttl))).collect())
            .await
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.0.release(key, &token).await
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.0.hold(key, owner, hold).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.0.unhold(key, owner).await
    }

    fn limits(&self) -> Limits {
        let settings = &self.0.settings;
        Limits::default()
            .max_key_bytes(LONGEST_KEY - settings.key_prefix.len())
            .max_value_bytes(settings.max_value_bytes)
            .ttl_granularity(Duration::from_secs(1))
            .leases(true)
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<&str> = self.0.all.iter().map(|server| &*server.name).collect();
        f.debug_struct("MemcachedStore").field("servers", &servers).finish_non_exhaustive()
    }
}
