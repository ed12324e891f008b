//! `cacheable_batch` on many nodes over one L2 with leases: each key is loaded once for all of them, and a batch loads its
//! own keys before it waits for those of others.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::stores::MokaL1;
use accelerator::testkit::{Faulty, ManualClock, MemoryL2, Op, settle};
use accelerator::{Cache, L2Read, L2Store, LeaseToken, LevelCache};
use tokio::task::JoinHandle;

use crate::common::{
    Away, Behind, Copied, Level, OverMoka, Row, Rows, Settings, Source, TTL, User, Users, World, ms, secs, user,
};

type Node = Users<OverMoka>;

impl<C: Cache<u64, Arc<User>> + Clone + 'static> Users<C> {
    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn of_fleet(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        self.source.find_many(&ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn of_fleet_or_copied(&self, ids: Vec<u64>) -> Result<Rows, Copied> {
        Ok(self.source.find_many(&ids).await?)
    }

    /// Its body takes along what it can't copy.
    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn of_fleet_once(&self, ids: Vec<u64>, runs: &mut u64) -> Result<Rows, Away> {
        *runs += 1;
        self.source.find_many(&ids).await
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn one_of_fleet(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }
}

/// Nodes over one L2, in front of one source.
struct Fleet {
    clock: ManualClock,
    l2: Faulty<MemoryL2>,
    source: Source,
    nodes: Vec<Node>,
}

impl Fleet {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, |settings| settings)
    }

    fn with(nodes: usize, tweak: impl Fn(Settings) -> Settings) -> Self {
        let World { clock, source, .. } = World::<Level>::new();
        let l2 = Faulty::new(MemoryL2::with_clock(clock.clone()).with_leases());
        let node = |_| {
            let settings = LevelCache::<u64, Arc<User>>::builder().area("users").l1(MokaL1::new(1000));
            let settings = tweak(settings.clock(clock.clone()).ttl(TTL));
            let cache = settings.l2(l2.clone()).build().expect("a good configuration");
            Users { cache: cache.clone(), source: source.clone(), behind: Behind::Level(cache) }
        };
        let nodes = (0..nodes).map(node).collect();
        Self { clock, l2, source, nodes }
    }

    /// The node `n` asks for these.
    fn ask(&self, n: usize, ids: impl IntoIterator<Item = u64>) -> JoinHandle<Result<Rows, Away>> {
        let (node, ids) = (self.nodes[n].clone(), ids.into_iter().collect());
        tokio::spawn(async move { node.of_fleet(ids).await })
    }

    /// Lets time pass in steps that no renewal misses.
    async fn pass(&self, time: Duration) {
        settle().await;
        for _ in 0..time.as_millis() / 10 {
            self.clock.advance(ms(10)).await;
        }
        settle().await;
    }

    /// Another node has begun to load this.
    async fn lease(&self, id: u64, lasts: Duration) -> LeaseToken {
        let read = self.l2.inner().get_or_lease(&format!("users.{id}"), lasts).await;
        let Ok(L2Read::Leased { token, .. }) = read else { unreachable!("no lease but {read:?}") };
        token
    }

    /// How often each id was loaded.
    fn loads(&self) -> HashMap<u64, usize> {
        let mut loads = HashMap::new();
        self.source.calls().into_iter().flatten().for_each(|id| *loads.entry(id).or_default() += 1);
        loads
    }

    fn in_l2(&self) -> Vec<String> {
        let mut keys = self.l2.inner().keys();
        keys.sort_unstable();
        keys
    }

    fn no_flight_is_left(&self) {
        for (n, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.cache.stats().flights, 0, "node {n}");
        }
    }
}

fn rows(ids: impl IntoIterator<Item = u64>) -> Rows {
    ids.into_iter().map(|id| (id, user(id, 1))).collect()
}

async fn over<T>(call: JoinHandle<T>, what: &str) -> T {
    assert!(call.is_finished(), "{what} waits on");
    call.await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_loaded_once_for_all_nodes_for_as_long_as_a_load_may_take() {
    for load in [0, 300, 800, 1900] {
        let fleet = Fleet::new(8);
        fleet.source.slow(ms(load));
        let calls: Vec<_> = (0..8).map(|n| fleet.ask(n, 1..=40)).collect();
        fleet.pass(ms(load + 100)).await;
        for call in calls {
            assert_eq!(over(call, &format!("{load} ms")).await, Ok(rows(1..=40)));
        }
        assert_eq!((fleet.source.runs(), fleet.in_l2().len()), (1, 40), "{load} ms");
        let waited: u64 = fleet.nodes.iter().map(|node| node.cache.stats().fills_lost).sum();
        assert_eq!(waited, 0, "{load} ms");
        fleet.no_flight_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn of_batches_that_overlap_each_key_is_loaded_once_for_all_nodes() {
    for load in [300, 800, 1900] {
        let fleet = Fleet::new(8);
        fleet.source.slow(ms(load));
        // Each shares five keys with the one before it, and names all of its own twice.
        let of = |n: u64| n * 5..n * 5 + 10;
        let calls: Vec<_> = (0..8).map(|n| fleet.ask(n as usize, of(n).chain(of(n).rev()))).collect();
        fleet.pass(ms(load + 100)).await;
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(over(call, &format!("{load} ms")).await, Ok(rows(of(n as u64))));
        }
        let loads = fleet.loads();
        assert_eq!((loads.len(), fleet.source.runs()), (45, 8), "{load} ms");
        assert!(loads.values().all(|loads| *loads == 1), "{load} ms: {loads:?}");
        assert_eq!(fleet.in_l2().len(), 45);
        fleet.no_flight_is_left();
    }
}

/// Two that want each other's keys wait for nobody before their own are loaded.
#[tokio::test(start_paused = true)]
async fn two_nodes_crosswise_load_what_is_their_own_at_once() {
    let fleet = Fleet::new(2);
    let (first, second) = (fleet.source.door(), fleet.source.door());
    let a = fleet.ask(0, [1, 2]);
    first.reached().await;
    let b = fleet.ask(1, [3, 2, 1]);
    second.reached().await;
    assert_eq!(fleet.source.calls(), [vec![1, 2], vec![3]]);
    second.open();
    fleet.pass(ms(200)).await;
    assert!(!b.is_finished(), "it waits for the other node");
    assert_eq!(fleet.in_l2(), ["users.3"], "what it waits with is stored");
    first.open();
    fleet.pass(ms(100)).await;
    assert_eq!(over(a, "a").await, Ok(rows([1, 2])));
    assert_eq!(over(b, "b").await, Ok(rows([1, 2, 3])));
    assert_eq!(fleet.source.runs(), 2);
    assert_eq!(fleet.nodes[1].cached(1).await, Some(user(1, 1)));
}

/// Callers of one node share the wait, single and batch.
#[tokio::test(start_paused = true)]
async fn of_a_node_all_who_want_a_busy_key_wait_for_one() {
    let fleet = Fleet::new(2);
    fleet.source.slow(ms(1900));
    let first = fleet.ask(0, [1, 2]);
    settle().await;
    let node = &fleet.nodes[1];
    let batches: Vec<_> = [vec![1, 2], vec![2, 1], vec![2]].into_iter().map(|ids| fleet.ask(1, ids)).collect();
    let single = tokio::spawn({
        let node = node.clone();
        async move { node.one_of_fleet(1).await }
    });
    fleet.pass(ms(2000)).await;
    assert_eq!(over(first, "the first").await, Ok(rows([1, 2])));
    for batch in batches {
        let found = over(batch, "a batch").await.expect("a value");
        assert!(found.contains_key(&2) && found.values().all(Option::is_some));
    }
    assert_eq!(over(single, "a single").await, Ok(user(1, 1)));
    assert_eq!(fleet.source.calls(), [[1, 2]]);
    fleet.no_flight_is_left();
}

/// A wait asks for all keys in one call.
#[tokio::test(start_paused = true)]
async fn a_wait_for_many_keys_is_one_look_for_all_of_them() {
    let fleet = Fleet::new(1);
    for id in 1..=100 {
        fleet.lease(id, secs(9)).await;
    }
    let call = fleet.ask(0, 1..=100);
    fleet.pass(ms(1000)).await;
    let looks = fleet.l2.calls(Op::Lease);
    assert!((10..60).contains(&looks), "{looks} looks");
    let waits = fleet.nodes[0].cache.stats().lease_waits as usize;
    assert!((looks - 1..=looks).contains(&waits), "{waits} waits, {looks} looks");
    call.abort();
}

/// A lease that its holder doesn't renew ends after a second: one of all who wait loads, all such keys in one body.
#[tokio::test(start_paused = true)]
async fn a_holder_that_died_costs_a_second_and_one_load() {
    let fleet = Fleet::new(8);
    fleet.source.slow(ms(300));
    for id in [1, 2] {
        fleet.lease(id, secs(1)).await;
    }
    let calls: Vec<_> = (0..8).map(|n| fleet.ask(n, [1, 2, 10 + n as u64])).collect();
    fleet.pass(ms(900)).await;
    let own = |fleet: &Fleet| fleet.loads().into_keys().min() == Some(10);
    assert!(own(&fleet), "what is their own is loaded, and nothing else: {:?}", fleet.source.calls());
    assert_eq!(fleet.in_l2().len(), 8);
    fleet.pass(ms(700)).await;
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(over(call, "a call").await, Ok(rows([1, 2, 10 + n as u64])));
    }
    assert!(fleet.loads().values().all(|loads| *loads == 1), "{:?}", fleet.source.calls());
    assert_eq!((fleet.source.runs(), fleet.in_l2().len()), (9, 10));
    fleet.no_flight_is_left();
}

/// Keys that come to be its own at different times are loaded each at its time.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_living_holder_loads_the_keys_of_a_dead_one() {
    let fleet = Fleet::new(1);
    fleet.lease(1, secs(1)).await;
    let alive = fleet.lease(2, secs(5)).await;
    let call = fleet.ask(0, [1, 2]);
    fleet.pass(ms(1200)).await;
    assert_eq!((fleet.source.calls(), fleet.in_l2()), (vec![vec![1]], vec!["users.1".to_owned()]));
    assert!(!call.is_finished());
    fleet.l2.inner().release("users.2", alive).await.expect("released");
    fleet.pass(ms(100)).await;
    assert_eq!(over(call, "the call").await, Ok(rows([1, 2])));
    assert_eq!(fleet.source.calls(), [[1], [2]]);
}

/// `loader_timeout` is how long others are waited for; who has waited so long loads, and stores nothing in L2.
#[tokio::test(start_paused = true)]
async fn who_has_waited_as_long_as_a_load_may_take_runs_its_body_and_l2_gets_nothing() {
    for with_own in [false, true] {
        let fleet = Fleet::new(1);
        for id in [1, 2] {
            fleet.lease(id, secs(60)).await;
        }
        let ids = if with_own { vec![1, 2, 3] } else { vec![1, 2] };
        let call = fleet.ask(0, ids.clone());
        fleet.pass(ms(1950)).await;
        assert!(!call.is_finished() && !fleet.loads().contains_key(&1), "the lease stands");
        fleet.pass(ms(60)).await;
        assert_eq!(over(call, "the call").await, Ok(rows(ids)));
        let own = if with_own { vec![vec![3], vec![1, 2]] } else { vec![vec![1, 2]] };
        assert_eq!(fleet.source.calls(), own, "one body for all that are left");
        assert_eq!(fleet.in_l2().len(), usize::from(with_own));
        assert_eq!(fleet.nodes[0].cached(1).await, Some(user(1, 1)), "on this node");
    }
}

/// Who waits began before the holder was over its limit: the value of a body that takes longer is stored, and served to
/// all who began later than `loader_timeout` before its end.
#[tokio::test(start_paused = true)]
async fn a_body_over_its_limit_serves_those_who_came_late() {
    let fleet = Fleet::new(3);
    fleet.source.slow(ms(3000));
    let slow = fleet.ask(0, [1, 2]);
    settle().await;
    fleet.source.slow(ms(0));
    let early = fleet.ask(1, [2, 1]);
    fleet.pass(ms(1500)).await;
    let late = fleet.ask(2, [1, 2]);
    fleet.pass(ms(1600)).await;
    for (call, what) in [(slow, "the first"), (early, "the early"), (late, "the late")] {
        assert_eq!(over(call, what).await, Ok(rows([1, 2])));
    }
    assert_eq!(fleet.source.calls(), [[1, 2], [2, 1]], "the early one has waited its time");
    assert_eq!(fleet.in_l2(), ["users.1", "users.2"]);
}

/// Who reads the key of a writer loads at once, and neither level keeps it. The other keys are loaded once.
#[tokio::test(start_paused = true)]
async fn a_key_that_a_writer_holds_is_not_waited_for_and_the_others_are_loaded_once() {
    let fleet = Fleet::new(8);
    fleet.source.slow(ms(300));
    let guard = fleet.nodes[0].cache.write_guard(&1).await.expect("a guard");
    let calls: Vec<_> = (0..8).map(|n| fleet.ask(n, [1, 2, 3])).collect();
    fleet.pass(ms(800)).await;
    for call in calls {
        assert_eq!(over(call, "a call").await, Ok(rows([1, 2, 3])));
    }
    assert_eq!(fleet.loads(), HashMap::from([(1, 8), (2, 1), (3, 1)]));
    fleet.source.put(2);
    guard.finish().await.expect("confirmed");
    for node in &fleet.nodes {
        assert_eq!(node.of_fleet(vec![1, 2]).await, Ok(Rows::from([(1, user(1, 2)), (2, user(2, 1))])));
    }
    assert_eq!(fleet.loads()[&1], 9, "once after the write");
}

/// A `del` while others wait: they get the value of now, and nothing older stays.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_while_a_batch_waits_for_it_is_loaded_anew() {
    let fleet = Fleet::new(2);
    let door = fleet.source.door();
    let first = fleet.ask(0, [1]);
    door.reached().await;
    let waits = fleet.ask(1, [1, 2]);
    fleet.pass(ms(100)).await;
    fleet.source.put(2);
    fleet.nodes[0].cache.del(&1).await.expect("confirmed");
    fleet.pass(ms(100)).await;
    let expected = Rows::from([(1, user(1, 2)), (2, user(2, 1))]);
    assert_eq!(over(waits, "who waits").await, Ok(expected), "the lease was free");
    door.open();
    settle().await;
    assert_eq!(over(first, "the first").await, Ok(rows([1])), "it began before");
    assert_eq!(fleet.nodes[0].cached(1).await, Some(user(1, 2)), "from L2");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_fails_its_caller_and_waits_for_nobody() {
    let fleet = Fleet::new(1);
    let token = fleet.lease(1, secs(9)).await;
    fleet.source.away(true);
    assert_eq!(fleet.nodes[0].of_fleet(vec![1, 2]).await, Err(Away(1)));
    assert_eq!(fleet.source.calls(), [[2]]);
    fleet.no_flight_is_left();
    // In the second round.
    fleet.source.away(false);
    let call = fleet.ask(0, [1, 2]);
    fleet.pass(ms(100)).await;
    assert_eq!(fleet.source.calls(), [[2], [2]]);
    fleet.source.away(true);
    fleet.l2.inner().release("users.1", token).await.expect("released");
    fleet.pass(ms(100)).await;
    assert_eq!(over(call, "the call").await, Err(Away(3)));
    assert_eq!(fleet.source.calls(), [[2], [2], [1]]);
    assert_eq!(fleet.nodes[0].cached(2).await, Some(user(2, 1)), "what was found before is kept");
    settle().await;
    assert!(!fleet.l2.inner().is_leased("users.1"));
    fleet.no_flight_is_left();
}

/// Those of a node who wait for a busy key hear nothing of a body that was not for it.
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_leaves_busy_keys_to_those_who_wait_for_them() {
    let fleet = Fleet::new(1);
    let token = fleet.lease(1, secs(9)).await;
    let door = fleet.source.door();
    fleet.source.away(true);
    let node = fleet.nodes[0].clone();
    let batch = tokio::spawn(async move { node.of_fleet_or_copied(vec![1, 2]).await });
    door.reached().await;
    let waits = fleet.ask(0, [1]);
    settle().await;
    fleet.source.away(false);
    door.open();
    settle().await;
    assert_eq!(over(batch, "the batch").await, Err(Copied(1)));
    assert!(!waits.is_finished());
    fleet.l2.inner().release("users.1", token).await.expect("released");
    fleet.pass(ms(100)).await;
    assert_eq!(over(waits, "who waits").await, Ok(rows([1])));
    assert_eq!(fleet.source.calls(), [[2], [1]]);
}

#[tokio::test(start_paused = true)]
async fn stale_values_stand_in_for_the_keys_of_others_too() {
    let fleet = Fleet::with(1, |settings| settings.stale_on_error(secs(100)).l1_ttl(TTL));
    let node = &fleet.nodes[0];
    assert_eq!(node.of_fleet(vec![1, 2]).await, Ok(rows([1, 2])));
    fleet.pass(ms(10)).await;
    fleet.clock.advance(TTL).await;
    fleet.l2.inner().wipe();
    fleet.lease(1, secs(9)).await;
    fleet.source.away(true);
    assert_eq!(node.of_fleet(vec![1, 2]).await, Ok(rows([1, 2])));
    assert_eq!(fleet.source.calls(), [vec![1, 2], vec![2]]);
}

/// A body that takes along what can't be copied runs once: for all keys where it has some of its own, without L2 for those
/// of others; where it has none, it waits.
#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_copied_runs_once() {
    let fleet = Fleet::new(1);
    let token = fleet.lease(1, secs(9)).await;
    let node = fleet.nodes[0].clone();
    let mut runs = 0;
    assert_eq!(node.of_fleet_once(vec![1, 2], &mut runs).await, Ok(rows([1, 2])));
    settle().await;
    assert_eq!((runs, fleet.source.calls(), fleet.in_l2()), (1, vec![vec![1, 2]], vec!["users.2".to_owned()]));
    node.cache.clear().await.expect("cleared");
    let call = tokio::spawn(async move {
        let mut runs = 0;
        (node.of_fleet_once(vec![1], &mut runs).await, runs)
    });
    fleet.pass(ms(1000)).await;
    assert!(!call.is_finished());
    fleet.l2.inner().release("users.1", token).await.expect("released");
    fleet.pass(ms(100)).await;
    assert_eq!(over(call, "the call").await, (Ok(rows([1])), 1));
    assert_eq!(fleet.in_l2().len(), 2);
}

/// Dropped at each of its awaits, a call harms nobody: its leases are given back, and others load what it had begun.
#[tokio::test(start_paused = true)]
async fn a_call_may_be_dropped_at_every_await() {
    let mut polls = 0;
    loop {
        polls += 1;
        let fleet = Fleet::new(3);
        fleet.source.slow(ms(300));
        let busy = fleet.lease(1, secs(9)).await;
        let followed = fleet.ask(1, [4]);
        settle().await;
        let mut ended = false;
        {
            let mut call = pin!(fleet.nodes[0].of_fleet(vec![1, 2, 3, 4]));
            for poll in 0..polls {
                // The lease of 1 becomes free while it waits.
                if poll == 40 {
                    fleet.l2.inner().release("users.1", busy).await.expect("released");
                }
                if call.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(Ok(rows([1, 2, 3, 4]))) {
                    ended = true;
                    break;
                }
                fleet.pass(ms(10)).await;
            }
        }
        if polls <= 40 {
            fleet.l2.inner().release("users.1", busy).await.expect("released");
        }
        fleet.pass(ms(310)).await;
        assert_eq!(over(followed, "the other").await, Ok(rows([4])));
        let other = fleet.ask(2, [4, 3, 2, 1]);
        fleet.pass(ms(400)).await;
        assert_eq!(over(other, &format!("after {polls} polls, another node")).await, Ok(rows([1, 2, 3, 4])));
        assert!(fleet.loads().values().all(|loads| *loads <= 2), "{:?}", fleet.source.calls());
        fleet.no_flight_is_left();
        assert!(["users.1", "users.2", "users.3"].iter().all(|key| !fleet.l2.inner().is_leased(key)), "{polls} polls");
        if ended {
            assert!(polls > 60, "it had two rounds and a wait in between");
            break;
        }
    }
}
