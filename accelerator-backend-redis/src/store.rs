//! The store: its handle, and the operations on one key.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{
    Bytes, Filled, HoldOwner, InvalidationBus, L2Read, L2Store, LeaseToken, Limits, Outcomes, StoreError,
    StoreErrorKind, StoreResult, Unclaimed,
};
use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisError, Value};

use crate::builder::RedisStoreBuilder;
use crate::bus::RedisBus;
use crate::bus::builder::LIMITS;
use crate::commands::command::{self, Commands, Op};
use crate::commands::given_up::Owed;
use crate::commands::news::News;
use crate::connection::{Missing, SharedConnection, Waiting};
use crate::server_error::{self, Refusal};
use crate::token;

/// The longest key with its prefix, in bytes. Servers take longer ones; nobody wants them in memory.
const LONGEST_KEY: usize = 64 << 10;
/// What servers take by default (`proto-max-bulk-len`), in bytes.
const LONGEST_VALUE: usize = 512 << 20;

/// An [`L2Store`] on Redis, Valkey or what speaks like them, with leases. A cheap handle: clones share one connection.
///
/// All calls share one connection, which is kept up by a task of the store. It begins to connect when the store is built
/// inside a tokio runtime (with I/O and time: `enable_all`), else at the first call. Calls wait for the end of that first
/// try, for `connect_timeout` at most; from then on, where there is no connection at the moment, the answer is
/// [`StoreErrorKind::Unavailable`], at once. The task runs on the runtime that it began in, and ends with the last handle.
///
/// Operations that are dropped before their answer has come (the cache's time limits do that) may or may not have
/// happened, and never disturb others.
///
/// The guide `backends` of the repository says which servers can do what, and what a user of theirs must be allowed.
///
/// ```no_run
/// use accelerator_backend_redis::RedisStore;
/// use accelerator_core::{L2Store, StoreResult};
/// use std::time::Duration;
///
/// async fn example() -> StoreResult<()> {
///     let store = RedisStore::builder().url("redis://127.0.0.1:6379").key_prefix("shop:").connect().await?;
///     store.set("greeting", "hello".into(), Duration::from_secs(60)).await?;
///     assert_eq!(store.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

/// How long a lease lasts that its holder renews: a few renewals may fail, and a holder that died is waited for no longer.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

pub(crate) struct Inner {
    pub(crate) shared: Arc<SharedConnection>,
    pub(crate) commands: Commands,
    /// Leases that nobody knows of who got them.
    pub(crate) owed: Owed,
}

/// The task of the connection holds what is shared with it; the handles hold this.
impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl RedisStore {
    /// Begins a store; a URL is all it needs.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::new()
    }

    pub(crate) fn new(shared: Arc<SharedConnection>, commands: Commands) -> Self {
        Self(Arc::new(Inner { shared, commands, owed: Owed::default() }))
    }

    /// Whether there is a connection at the moment: for health pages. Asking doesn't connect.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.shared.is_connected()
    }

    /// A bus on the same server, with the same prefix. It publishes over the connection of this store, so that a cache with
    /// both has one round trip for a write and what it tells other nodes, and listens with one of its own. As
    /// [`RedisBus::builder`](crate::RedisBus::builder) with nothing else set.
    #[must_use]
    pub fn bus(&self) -> RedisBus {
        RedisBus::new(self.clone(), self.0.shared.silence, LIMITS)
    }

    /// Begins to connect, where there is a runtime.
    pub(crate) fn begin(&self) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.0.shared.start(None);
        }
    }

    /// One try to connect; the task takes over what comes of it.
    pub(crate) async fn connect(&self) -> StoreResult<()> {
        let shared = &self.0.shared;
        let stream = shared.dialer.dial().await?;
        shared.start(Some(stream));
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &format_args!("{}", self.0.shared.dialer.target))
            .field("key_prefix", &self.0.commands.prefix)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Sends one command and waits for its answer, a refusal included.
    pub(crate) async fn ask(&self, op: Op, cmd: Cmd) -> StoreResult<Value> {
        let mut connection = match self.shared.connection() {
            Ok(connection) => connection,
            Err(_) => Box::pin(self.shared.first_connection()).await?,
        };
        let waiting = Waiting::new(&self.shared);
        let answer = connection.send_packed_command(&cmd).await;
        waiting.answered();
        let answer = self.heard(op, answer)?;
        self.note(&answer);
        Ok(answer)
    }

    /// Sends commands in one go and waits for all their answers.
    pub(crate) async fn ask_all(&self, op: Op, commands: Pipeline) -> StoreResult<Vec<Value>> {
        let mut connection = match self.shared.connection() {
            Ok(connection) => connection,
            Err(_) => Box::pin(self.shared.first_connection()).await?,
        };
        let count = commands.len();
        let waiting = Waiting::new(&self.shared);
        let answers = connection.send_packed_commands(&commands, 0, count).await;
        waiting.answered();
        let answers = self.heard(op, answers)?;
        answers.iter().for_each(|answer| self.note(answer));
        if answers.len() == count { Ok(answers) } else { Err(server_error::nonsense(op)) }
    }

    fn heard<T>(&self, op: Op, answer: Result<T, RedisError>) -> StoreResult<T> {
        match answer {
            Ok(answer) => {
                self.shared.health.hear();
                Ok(answer)
            }
            Err(_) if matches!(self.shared.missing(), Missing::Silent) => {
                let context = format!("{}: the server was silent for {:?}", op.name, self.shared.silence);
                Err(StoreError::new(StoreErrorKind::Timeout, context))
            }
            Err(error) => Err(server_error::broken(op, error)),
        }
    }

    /// Notes what a refusal means for the next calls.
    fn note(&self, answer: &Value) {
        let Value::ServerError(said) = answer else { return };
        if server_error::class(said) == Refusal::Writes {
            self.shared.health.cool_down();
        }
        if server_error::is_replica(said) {
            self.shared.health.note_replica();
        }
    }

    pub(crate) fn check(&self, key: &str, value: usize) -> StoreResult<()> {
        if key.len() > self.longest_key() {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "the key exceeds max_key_bytes"));
        }
        if value > LONGEST_VALUE {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "the value exceeds max_value_bytes"));
        }
        Ok(())
    }

    /// Where a topic of the bus is published.
    pub(crate) fn channel(&self, topic: &str) -> String {
        format!("{}bus.{}.{topic}", self.commands.prefix, self.shared.dialer.target.login.db())
    }

    fn longest_key(&self) -> usize {
        LONGEST_KEY - self.commands.prefix.len()
    }
}

#[async_trait]
impl L2Store for RedisStore {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let inner = self.inner();
        inner.check(key, 0)?;
        match inner.ask(command::GET, inner.commands.get(key)).await? {
            Value::BulkString(string) => Ok(token::plain_read(string)),
            Value::Nil => Ok(None),
            other => Err(server_error::unexpected(command::GET, &other)),
        }
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.inner().set(key, &value, ttl).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.inner().del(key).await
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut out = Outcomes::new(keys.len());
        self.mget_into(keys, &mut out).await;
        out.ended()
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        out.count_bytes(&self.inner().shared.dialer.received);
        self.inner().mget(keys, out).await;
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(items.len());
        self.mset_into(items, &mut out).await;
        out.ended()
    }

    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        self.inner().mset(&items, None, out).await;
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(keys.len());
        self.mdel_into(keys, &mut out).await;
        out.ended()
    }

    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        self.inner().mdel(keys, None, out).await;
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.0.get_or_lease(key, lease).await
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Unclaimed::new(self.clone(), keys);
        self.mget_or_lease_into(keys, lease, out.outcomes()).await;
        out.claim().ended()
    }

    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        out.count_bytes(&self.inner().shared.dialer.received);
        self.0.mget_or_lease(keys, lease, out).await;
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.inner().fill(key, token, &value, ttl).await
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Outcomes::new(items.len());
        self.mfill_into(items, &mut out).await;
        out.ended()
    }

    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        self.inner().mfill(&items, out).await;
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        self.inner().renew(key, token, lease).await
    }

    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        self.inner().mrenew(&items, lease).await
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.inner().release(key, &token).await
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.inner().hold(key, owner, hold).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.inner().unhold(key, owner).await
    }

    fn publishes_for(&self, bus: &dyn InvalidationBus) -> bool {
        bus.publishes_over() == self.identity()
    }

    async fn mset_then_publish(
        &self,
        items: Vec<(&str, Bytes, Duration)>,
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        let mut news = News::new(self.inner(), topic, &message);
        self.inner().mset(&items, Some(&mut news), out).await;
        news.told().await
    }

    async fn mdel_then_publish(
        &self,
        keys: &[&str],
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        let mut news = News::new(self.inner(), topic, &message);
        self.inner().mdel(keys, Some(&mut news), out).await;
        news.told().await
    }

    fn unix_ms(&self) -> Option<RangeInclusive<u64>> {
        self.inner().shared.dialer.clock.now()
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    fn limits(&self) -> Limits {
        Limits::default()
            .max_key_bytes(self.inner().longest_key())
            .max_value_bytes(LONGEST_VALUE)
            .ttl_granularity(Duration::from_millis(1))
            .leases(true)
            .shortest_lease(SHORTEST_LEASE)
    }
}
