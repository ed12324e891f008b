//! I2 and I6: a panic of user code, wherever it runs, ends one flight at most. It leaves no slot behind, nobody waits
//! for it, and a store or codec that panics is one that failed.

use std::future::{pending, poll_fn};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use accelerator_core::testkit::{MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Begin, Bytes, CacheKey, CacheResult, Codec, Entry, ErrorKind, L1Stats, L1Store, L2Store, LevelCache, LoadError,
    Loaded, Lookup, StoreResult, Tickets, async_trait,
};
use futures_util::FutureExt;

use crate::common::{TTL, World, ms, ok};

fn panics() -> ! {
    std::panic::resume_unwind(Box::new("user code"))
}

/// A load that never ends, and panics when it is dropped.
struct Stuck;

impl Future for Stuck {
    type Output = Result<Option<u64>, std::io::Error>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panics();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_when_its_timeout_drops_it_is_a_timeout() {
    for l2 in [false, true] {
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(50));
        let builder = if l2 { builder.l2(MemoryL2::new()) } else { builder };
        let cache = ok(builder.loader(|_| Stuck));
        for _ in 0..2 {
            let answer = tokio::time::timeout(Duration::from_secs(60), cache.get(&1)).await.expect("nobody hangs");
            assert!(matches!(answer.unwrap_err().kind(), ErrorKind::Timeout | ErrorKind::Panic));
            assert_eq!(cache.stats().flights, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_filled_with_what_panics_ends_its_flight() {
    struct Bad;
    impl From<Bad> for Loaded<u64> {
        fn from(_: Bad) -> Self {
            panics()
        }
    }
    let cache = ok(LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL));
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    assert!(catch_unwind(AssertUnwindSafe(|| ticket.fill(Bad))).is_err());
    assert_eq!(cache.stats().flights, 0);
}

static VALUES: AtomicBool = AtomicBool::new(false);

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Fragile(u64);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if VALUES.load(SeqCst) { panics() } else { Self(self.0) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_it_is_cloned_ends_its_flight() {
    let builder = LevelCache::<u64, Fragile>::builder().area("a").l1(MemoryL1::new()).l2(MemoryL2::new());
    let cache = builder.ttl(TTL).build().unwrap();
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    VALUES.store(true, SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| ticket.fill(Some(Fragile(1))))).is_err());
    VALUES.store(false, SeqCst);
    settle().await;
    assert_eq!(cache.stats().flights, 0);
    let start = tokio::time::Instant::now();
    let body = async { Ok::<_, std::io::Error>(Some(Fragile(2))) };
    assert_eq!(cache.get_or_load(&1, body).await.unwrap(), Some(Fragile(2)));
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits for the flight that is gone");
}

static KEYS: AtomicUsize = AtomicUsize::new(usize::MAX);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key(u64);

impl Clone for Key {
    fn clone(&self) -> Self {
        let left = KEYS.load(SeqCst);
        if left != usize::MAX {
            KEYS.store(left.wrapping_sub(1), SeqCst);
        }
        if left == 0 { panics() } else { Self(self.0) }
    }
}

impl CacheKey for Key {
    fn encode(&self, out: &mut String) {
        self.0.encode(out);
    }

    fn decode(text: &str) -> Option<Self> {
        u64::decode(text).map(Self)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_when_it_is_cloned_leaves_no_slot() {
    let mut panicked = [0; 3];
    for at in 0..16 {
        for (batch, with_l2) in [(false, false), (true, false), (true, true)] {
            let builder = LevelCache::<Key, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL);
            let load = |keys: Vec<Key>| {
                std::future::ready(Ok::<_, LoadError>(keys.into_iter().map(|key| (key, Some(1))).collect::<Vec<_>>()))
            };
            let builder = if batch { builder.batch_loader(load) } else { builder };
            let cache = if with_l2 { builder.l2(MemoryL2::new().with_leases()) } else { builder }.build().unwrap();
            let asks = cache.clone();
            KEYS.store(at, SeqCst);
            let keys = [Key(1), Key(2), Key(1)];
            let task = tokio::spawn(async move {
                if batch {
                    drop(asks.mget(&keys).await);
                } else {
                    drop(asks.get_or_load(&keys[0], async { Ok::<_, LoadError>(Some(1)) }).await);
                }
            });
            panicked[usize::from(batch) + usize::from(with_l2)] += usize::from(task.await.is_err());
            KEYS.store(usize::MAX, SeqCst);
            settle().await;
            assert_eq!(cache.stats().flights, 0, "at clone {at}, with L2: {with_l2}");
        }
    }
    assert!(panicked.iter().all(|reached| *reached > 1), "{panicked:?} panics reached");
}

/// Panics at 13.
struct Superstitious {
    encoding: bool,
}

impl Codec<u64> for Superstitious {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), LoadError> {
        if *value == 13 && self.encoding {
            panics();
        }
        out.extend(value.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<u64, LoadError> {
        let value = u64::from_le_bytes(bytes.try_into()?);
        if value == 13 { panics() } else { Ok(value) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_is_a_miss_of_its_key_alone() {
    for encoding in [false, true] {
        let builder = LevelCache::<u64, u64>::builder().area("a").ttl(TTL);
        let builder = builder.l2_with_codec(MemoryL2::new(), Superstitious { encoding });
        let cache = builder.loader(|key| async move { Ok::<_, LoadError>(Some(key)) }).build().unwrap();
        for _ in 0..2 {
            assert_eq!(cache.mget(&[1, 13, 3]).await.into_values().unwrap(), [Some(1), Some(13), Some(3)]);
            assert_eq!(cache.get(&13).await.unwrap(), Some(13));
        }
        assert_eq!(cache.stats().loads_panic, 0);
    }
}

struct Explosive;

#[async_trait]
impl L2Store for Explosive {
    async fn get(&self, _: &str) -> StoreResult<Option<Bytes>> {
        panics()
    }
    async fn set(&self, _: &str, _: Bytes, _: Duration) -> StoreResult<()> {
        panics()
    }
    async fn del(&self, _: &str) -> StoreResult<()> {
        panics()
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_a_store_that_failed() {
    let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).l2(Explosive).ttl(TTL);
    let cache = ok(builder.loader(|key| async move { Ok::<_, LoadError>(Some(key)) }));
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [Some(1), Some(2)]);
    assert_eq!(cache.del(&1).await.unwrap_err().kind(), ErrorKind::Unconfirmed);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    settle().await;
    assert_eq!((cache.stats().loads_panic, cache.stats().flights), (0, 0));
}

/// A store that panics when 13 is put into it.
#[derive(Clone, Default)]
struct Picky(MemoryL1<u64, u64>);

impl L1Store<u64, u64> for Picky {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        self.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<u64>) {
        if key == 13 { panics() } else { self.0.insert(key, entry) }
    }
    fn remove(&self, key: &u64) {
        self.0.remove(key);
    }
    fn clear(&self) {
        self.0.clear();
    }
    fn stats(&self) -> L1Stats {
        self.0.stats()
    }
}

/// What became of each key of a batch.
fn kinds<V>(answers: Vec<CacheResult<Option<V>>>) -> Vec<Result<Option<V>, ErrorKind>> {
    answers.into_iter().map(|answer| answer.map_err(|e| e.kind())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_l1_panics_answers_with_errors_and_loads_nothing_again() {
    let panicked = Err(ErrorKind::Panic);
    for (in_l2, many) in [(false, false), (false, true), (true, false), (true, true)] {
        let w = World::new();
        for key in [1, 13, 3].into_iter().filter(|_| in_l2) {
            w.other_node().set(&key, 1000 * key + 1).await.unwrap();
        }
        let source = w.source.clone();
        let builder = w.bare().l1(Picky::default()).l2(w.l2.clone());
        let cache = match many {
            true => builder.batch_loader(move |keys| source.clone().load_many(keys)),
            false => builder.loader(move |key| source.clone().load(key)),
        };
        let cache = cache.build().unwrap();
        let answers = kinds(cache.mget(&[1, 13, 3]).await.into_results());
        assert_eq!(answers[1], panicked, "in L2: {in_l2}, in one load: {many}");
        // Single loads end in any order.
        let in_order = in_l2 || many;
        assert!(!in_order || (answers[0] == Ok(Some(1001)) && answers[2] == panicked), "{answers:?}");
        settle().await;
        assert_eq!((w.source.asked_for(13), cache.stats().flights), (usize::from(!in_l2), 0));
    }
}

/// Panics when it is cloned, once it is armed.
struct Armed(u64, Arc<AtomicBool>);

impl Clone for Armed {
    fn clone(&self) -> Self {
        if self.1.load(SeqCst) { panics() } else { Self(self.0, self.1.clone()) }
    }
}

impl PartialEq for Armed {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Armed {}

impl Hash for Armed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panics()
    }
}

#[test]
fn a_batch_that_is_given_up_leaves_no_slot_whatever_panics() {
    for followed in [false, true] {
        let load = |_: Vec<Armed>| pending::<Result<Vec<(Armed, Option<u64>)>, LoadError>>();
        let builder = LevelCache::<Armed, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL);
        let cache = builder.batch_loader(load).build().unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let keys = [1, 2, 3].map(|key| Armed(key, armed.clone()));
        let mut leader = Box::pin(cache.mget(&keys));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(poll_fn(|cx| {
            assert!(leader.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        {
            // Outside of the runtime nothing moves into a task.
            let mut follower = pin!(cache.get(&keys[0]));
            if followed {
                let waker = Waker::from(Arc::new(PanicsWhenWoken));
                assert!(follower.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            armed.store(!followed, SeqCst);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(leader)));
            armed.store(false, SeqCst);
        }
        assert_eq!(cache.stats().flights, 0, "followed: {followed}");
    }
}

/// A codec for values that panic when they are cloned.
struct Arms(Arc<AtomicBool>);

impl Codec<Armed> for Arms {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &Armed, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend(value.0.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Armed, LoadError> {
        Ok(Armed(u64::from_le_bytes(bytes.try_into()?), self.0.clone()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_panics_gives_back_the_leases_that_it_has_not_looked_at() {
    let (l2, armed) = (MemoryL2::new().with_leases(), Arc::new(AtomicBool::new(false)));
    let node = || {
        let arms = armed.clone();
        let load = move |key| std::future::ready(Ok::<_, LoadError>(Some(Armed(key, arms.clone()))));
        let builder = LevelCache::<u64, Armed>::builder().area("a").ttl(TTL);
        builder.l2_with_codec(l2.clone(), Arms(armed.clone())).l1(MemoryL1::new()).loader(load).build().unwrap()
    };
    let (one, other) = (node(), node());
    assert!(other.get(&1).await.unwrap().is_some());
    armed.store(true, SeqCst);
    let answers = kinds(one.mget(&[1, 2, 3]).await.into_results());
    armed.store(false, SeqCst);
    assert!(answers.iter().all(|answer| matches!(answer, Err(ErrorKind::Panic))));
    settle().await;
    assert!(other.get(&2).await.unwrap().is_some() && other.get(&3).await.unwrap().is_some());
    assert_eq!(other.stats().lease_waits, 0, "nobody waits for a lease that is gone");
}

/// Polls it, and then drops it because of a panic that is not its own.
fn dropped_by_a_strangers_panic(future: impl Future) {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let stranger = catch_unwind(AssertUnwindSafe(move || {
        let _future = future;
        panics()
    }));
    assert!(stranger.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_something_else_in_the_leaders_task_passes_its_load_on() {
    for (l2, ticket) in [(false, false), (true, false), (false, true), (true, true)] {
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL);
        let cache = ok(if l2 { builder.l2(MemoryL2::new().with_leases()) } else { builder });
        let leads = cache.clone();
        let leader = async move {
            if ticket {
                let _ticket = leads.begin(&1).await;
                pending::<()>().await;
            }
            drop(leads.get_or_load(&1, pending::<Result<Option<u64>, LoadError>>()).await);
        };
        let mut leader = Box::pin(leader);
        for _ in 0..5 {
            assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            settle().await;
        }
        let follows = cache.clone();
        let body = async { Ok::<_, LoadError>(Some(2)) };
        let follower = tokio::spawn(async move { follows.get_or_load(&1, body).await });
        settle().await;
        dropped_by_a_strangers_panic(leader);
        assert_eq!(follower.await.unwrap().unwrap(), Some(2), "with L2: {l2}, by ticket: {ticket}");
        settle().await;
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_body_is_told_to_those_who_wait() {
    for l2 in [false, true] {
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL);
        let cache = ok(if l2 { builder.l2(MemoryL2::new().with_leases()) } else { builder });
        let leads = cache.clone();
        let body = async {
            tokio::time::sleep(ms(10)).await;
            panics()
        };
        let leader =
            tokio::spawn(async move { leads.get_or_load::<Option<u64>, LoadError, _>(&1, body).await.is_ok() });
        settle().await;
        let answer = cache.get_or_load(&1, pending::<Result<Option<u64>, LoadError>>()).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Panic);
        assert!(leader.await.is_err());
        assert_eq!(cache.stats().flights, 0);
    }
}

#[test]
fn a_batch_that_goes_with_a_strangers_panic_passes_its_keys_on() {
    let load = |_: Vec<u64>| pending::<Result<Vec<(u64, Option<u64>)>, LoadError>>();
    for l2 in [false, true] {
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).batch_loader(load);
        let cache = ok(if l2 { builder.l2(MemoryL2::new()) } else { builder });
        let mut leader = Box::pin(cache.mget(&[1, 2]));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(poll_fn(|cx| {
            assert!(leader.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        // Outside of the runtime nothing moves into a task.
        let mut follower = pin!(cache.begin(&1));
        assert!(follower.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let stranger = catch_unwind(AssertUnwindSafe(move || {
            let _leader = leader;
            panics()
        }));
        assert!(stranger.is_err());
        let heir = follower.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(!matches!(heir, Poll::Ready(Begin::Failed(_))), "with L2: {l2}");
    }
}

/// Who takes a flight over fails it by its panic, and its ticket is dropped after that: one registration ends, and only
/// once. Of what else is under way for the key the slot must know on.
#[tokio::test(start_paused = true)]
async fn an_heir_whose_body_panics_ends_its_own_registration_and_no_other() {
    for l2 in [false, true] {
        let w = World::new();
        let cache = if l2 { ok(w.no_loader()) } else { ok(w.bare().l1(MemoryL1::new())) };
        // A write that stays under way for as long as it is wanted.
        let door = l2.then(|| w.l2.gate(Op::Set));
        let Begin::Lead(leader) = cache.begin(&1).await else { panic!("a hit") };
        let heir = tokio::spawn({
            let cache = cache.clone();
            async move {
                let other = cache.clone();
                let body = async move {
                    let Begin::Lead(second) = other.begin(&2).await else { panic!("a hit") };
                    let write = other.set(&1, 5);
                    tokio::spawn(async move {
                        write.await.expect("a write");
                        drop(second);
                    });
                    settle().await;
                    panics();
                    #[expect(unreachable_code, reason = "the type of the body")]
                    Ok::<Option<u64>, std::io::Error>(None)
                };
                AssertUnwindSafe(cache.get_or_load(&1, body)).catch_unwind().await.is_err()
            }
        });
        settle().await;
        drop(leader);
        assert!(heir.await.expect("a task"), "the panic is that of who ran the body");
        if let Some(door) = door {
            assert_eq!(cache.stats().flights, 2, "the write of one key, and the load of the other");
            door.open();
            settle().await;
        }
        assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(5), 0));
    }
}
