//! The store.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelerator_core::head::{Head, Kind};
use accelerator_core::{
    Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, Outcomes, StoreError, StoreResult, Unclaimed,
    async_trait,
};
use futures_util::future::join_all;

use crate::builder::MemcachedStoreBuilder;
use crate::commands::command::{Command, LONGEST_KEY, SHORTEST_LEASE, lease_seconds, seconds};
use crate::commands::exchange::Servers;
use crate::commands::reply::Reply;
use crate::commands::{age, interpret};
use crate::connection::pool::Which;
use crate::connection::server::Server;
use crate::error::Fault;
use crate::token::Proof;

/// An [`L2Store`] on one memcached or several, with leases.
///
/// ```no_run
/// use accelerator_backend_memcached::MemcachedStore;
/// use accelerator_core::{L2Store, StoreResult};
/// use std::time::Duration;
///
/// async fn example() -> StoreResult<()> {
///     let store = MemcachedStore::builder().servers(["127.0.0.1:11211"]).key_prefix("shop:").connect().await?;
///     store.set("greeting", "hello".into(), Duration::from_secs(60)).await?;
///     assert_eq!(store.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
///     Ok(())
/// }
/// ```
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
    /// Begins a store; its servers are all it needs.
    pub fn builder() -> MemcachedStoreBuilder {
        MemcachedStoreBuilder::default()
    }

    pub(crate) fn new(servers: Servers) -> Self {
        Self(Arc::new(servers))
    }

    /// Begins to connect to each server, where there is a runtime.
    pub(crate) fn warm_up(&self) {
        self.0.all.iter().for_each(Server::warm_up);
    }

    /// Asks every server for its version, and for a lease.
    pub(crate) async fn check(&self) -> StoreResult<()> {
        let key = format!("accelerator~check~{:016x}", Head::random(Kind::Lease).nonce);
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
        if self.fits(value) {
            interpret::stored(reply)
        } else {
            interpret::deleted(reply).and(Err(interpret::too_large()))
        }
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
    interpret::read_or_lease(reply, |cas| Proof { server: server.hash, witnesses, cas, leased: false })
}

/// What a read means, and how old it is at most.
fn aged<T>(reply: Reply, meaning: impl FnOnce(Reply) -> Result<T, Fault>) -> Result<(T, Option<Duration>), Fault> {
    let age = age::most(&reply);
    Ok((meaning(reply)?, age))
}

#[async_trait]
impl L2Store for MemcachedStore {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        Ok(self.get_aged(key).await?.0)
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
        self.0.one(delete(key), |reply, _, _| interpret::deleted(&reply)).await
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut out = Outcomes::new(keys.len());
        self.mget_into(keys, &mut out).await;
        out.ended()
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        let commands = keys.iter().map(|key| read(key)).collect();
        let unless_held = |_, (value, age): (Option<Bytes>, _), held: bool| Some((Ok(value.filter(|_| !held)), age));
        self.0.many_and_hold(commands, out, |_, reply, _, _| aged(reply, interpret::read), unless_held).await;
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(items.len());
        self.mset_into(items, &mut out).await;
        out.ended()
    }

    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        let commands = items.iter().map(|(key, value, ttl)| self.set_command(key, value, *ttl)).collect();
        let held = Mutex::new(Vec::new());
        let stored = |at, (), is_held| match is_held {
            false => Some((Ok(()), None)),
            true => {
                held.lock().unwrap_or_else(PoisonError::into_inner).push(at);
                None
            }
        };
        self.0.many_and_hold(commands, out, |at, reply, _, _| self.set_meaning(&items[at].1, &reply), stored).await;
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !held.is_empty() {
            let doomed: Vec<&str> = held.iter().map(|&at| items[at].0).collect();
            for (at, deleted) in held.into_iter().zip(self.mdel(&doomed).await) {
                out.put(at, deleted.and(Err(StoreError::held())));
            }
        }
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(keys.len());
        self.mdel_into(keys, &mut out).await;
        out.ended()
    }

    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        let commands = keys.iter().map(|key| delete(key)).collect();
        self.0.many(commands, out, |_, reply, _, _| interpret::deleted(&reply)).await;
    }

    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        let read = self.0.one_and_hold(read(key), |reply, _, _| aged(reply, interpret::read));
        let ((value, age), held) = read.await?;
        Ok((value.filter(|_| !held), age))
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        Ok(self.get_or_lease_aged(key, lease).await?.0)
    }

    async fn get_or_lease_aged(&self, key: &str, lease: Duration) -> StoreResult<(L2Read, Option<Duration>)> {
        let command = Command::Read { key, lease: Some(lease_seconds(lease)) };
        let leased = |reply, server: &Server, witnesses| aged(reply, |reply| leased(reply, server, witnesses));
        match self.0.one_and_hold(command, leased).await? {
            (read, false) => Ok(read),
            ((read, _), true) => {
                if let L2Read::Leased { token, .. } = read {
                    // It is worth nothing; what is not given back ends by itself.
                    let _ = self.0.release(key, &token).await;
                }
                Ok((L2Read::Held, None))
            }
        }
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Unclaimed::new(self.clone(), keys);
        self.mget_or_lease_into(keys, lease, out.outcomes()).await;
        out.claim().ended()
    }

    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        let lease = Some(lease_seconds(lease));
        let commands = keys.iter().map(|key| Command::Read { key, lease }).collect();
        // Leases of held keys go back: they are worth nothing.
        let back = Mutex::new(Vec::new());
        let unless_held = |at, (read, age), held| match (read, held) {
            (read, false) => Some((Ok(read), age)),
            (read, true) => {
                if let L2Read::Leased { token, .. } = read {
                    back.lock().unwrap_or_else(PoisonError::into_inner).push((at, token));
                }
                Some((Ok(L2Read::Held), None))
            }
        };
        let leased = |_, reply, server: &Server, witnesses| aged(reply, |reply| leased(reply, server, witnesses));
        self.0.many_and_hold(commands, out, leased, unless_held).await;
        let back = back.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What is not given back ends by itself.
        join_all(back.iter().map(|(at, token): &(usize, LeaseToken)| self.0.release(keys[*at], token))).await;
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        let mut out = Outcomes::new(1);
        self.0.fill(vec![(key, *token, &value, seconds(ttl))], &mut out).await;
        out.take(0).unwrap_or(Ok(Filled::Lost))
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Outcomes::new(items.len());
        self.mfill_into(items, &mut out).await;
        out.ended()
    }

    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        let fills = items.iter().map(|(key, token, value, ttl)| (*key, *token, &**value, seconds(*ttl))).collect();
        self.0.fill(fills, out).await;
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        let answers = self.0.renew(&[(key, *token)], lease).await;
        answers.into_iter().next().unwrap_or(Ok(None))
    }

    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        self.0.renew(&items, lease).await
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

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    fn limits(&self) -> Limits {
        let settings = &self.0.settings;
        Limits::default()
            .max_key_bytes(LONGEST_KEY - settings.key_prefix.len())
            .max_value_bytes(settings.max_value_bytes)
            .ttl_granularity(Duration::from_secs(1))
            .leases(true)
            .ages(true)
            .shortest_lease(Duration::from_secs(u64::from(SHORTEST_LEASE)))
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<&str> = self.0.all.iter().map(|server| &*server.name).collect();
        f.debug_struct("MemcachedStore").field("servers", &servers).finish_non_exhaustive()
    }
}
