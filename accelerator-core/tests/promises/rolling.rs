//! A rolling deploy that changes a type, with both builds beside each other: how often the source is asked for one key.
//!
//! The figures of ADR 0050 are those of this file (`-- rolling --nocapture`), with other rules in the place of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use accelerator_core::testkit::{ManualClock, MemoryL1, MemoryL2};
use accelerator_core::{LevelCache, Postcard};
use tokio::time::Instant;

use crate::any::{AnyCodec, Dyn, cache};
use crate::common::{lock, ms, secs};

type Node = LevelCache<u64, Dyn, MemoryL1<u64, Dyn>>;

/// The nodes of a service that all read one key, about four times in a second each.
struct Fleet {
    clock: ManualClock,
    l2: MemoryL2,
    nodes: Vec<Node>,
    /// Of the old build and of the new one.
    loads: Arc<[AtomicU64; 2]>,
    /// The longest that a read took, in milliseconds.
    longest: Arc<std::sync::Mutex<u128>>,
    random: fastrand::Rng,
}

const NODES: usize = 20;
/// What a load takes, in milliseconds.
const LOAD: u64 = 50;

impl Fleet {
    fn new() -> Self {
        let clock = ManualClock::new();
        let l2 = MemoryL2::with_clock(clock.clone()).with_leases();
        let (loads, longest, random) = (Arc::default(), Arc::default(), fastrand::Rng::with_seed(7));
        let mut fleet = Self { clock, l2, nodes: Vec::new(), loads, longest, random };
        fleet.nodes = (0..NODES).map(|_| fleet.node(false, 10_000)).collect();
        fleet
    }

    fn node(&self, new: bool, l1_ms: u64) -> Node {
        let (codec, value) = match new {
            false => (AnyCodec::new::<i64>(Postcard), Dyn::new(-5_i64)),
            true => (AnyCodec::new::<u64>(Postcard), Dyn::new(5_u64)),
        };
        let loads = self.loads.clone();
        let loader = move |_| {
            let (value, loads) = (value.clone(), loads.clone());
            async move {
                loads[usize::from(new)].fetch_add(1, SeqCst);
                tokio::time::sleep(ms(LOAD)).await;
                Ok::<_, std::io::Error>(Some(value))
            }
        };
        let builder = cache(&self.l2, codec).l1(MemoryL1::new()).clock(self.clock.clone()).ttl(secs(600));
        builder.l1_ttl(ms(l1_ms)).loader(loader).build().expect("a good configuration")
    }

    /// So much time, in steps of so many milliseconds.
    async fn run(&mut self, time_ms: u64, step_ms: u64) {
        for _ in 0..time_ms / step_ms {
            for node in &self.nodes {
                if self.random.u64(..1000) < 4 * step_ms {
                    let (node, longest) = (node.clone(), self.longest.clone());
                    tokio::spawn(async move {
                        let begun = Instant::now();
                        node.get(&1).await.expect("an answer");
                        let mut longest = lock(&longest);
                        *longest = begun.elapsed().as_millis().max(*longest);
                    });
                }
            }
            self.clock.advance(ms(step_ms)).await;
        }
    }

    fn loads(&self) -> [u64; 2] {
        [0, 1].map(|of| self.loads[of].swap(0, SeqCst))
    }

    /// Ten minutes in which all nodes become ones of this build, and three more: the loads of each minute.
    async fn deploy(&mut self, new: bool) -> Vec<[u64; 2]> {
        let mut minutes = Vec::new();
        for n in 0..NODES {
            self.nodes[n] = self.node(new, 10_000);
            self.run(30_000, 100).await;
            if n % 2 == 1 {
                minutes.push(self.loads());
            }
        }
        for _ in 0..3 {
            self.run(60_000, 100).await;
            minutes.push(self.loads());
        }
        minutes
    }
}

fn sum(minutes: &[[u64; 2]]) -> u64 {
    minutes.iter().flatten().sum()
}

#[tokio::test(start_paused = true)]
async fn a_rolling_deploy_and_a_rollback_end_with_a_warm_l2_and_cost_less_than_a_cold_one() {
    let mut fleet = Fleet::new();
    fleet.run(60_000, 100).await;
    assert_eq!(fleet.loads(), [1, 0], "one build: one load for all nodes");
    for new in [true, false] {
        let minutes = fleet.deploy(new).await;
        println!("to {}: {} loads, {minutes:?}", if new { "new" } else { "old" }, sum(&minutes));
        assert_eq!(minutes[10..], [[0, 0]; 3], "all of one build, and it still loads");
        // Where foreign values are left alone: 514, and 977 back.
        assert!(sum(&minutes) < 420, "{} loads: {minutes:?}", sum(&minutes));
    }
}

#[tokio::test(start_paused = true)]
async fn one_new_node_does_not_take_l2_from_all_others() {
    let mut fleet = Fleet::new();
    fleet.run(60_000, 100).await;
    fleet.loads();
    fleet.nodes[0] = fleet.node(true, 10_000);
    fleet.run(20 * 60_000, 100).await;
    let [old, new] = fleet.loads();
    println!("one of 20 for 20 minutes: {old} of the old build, {new} of the new one");
    // If the new one always won, the old ones would load 2200 times.
    assert!(old < 600 && new < 180, "{old} {new}");
}

#[tokio::test(start_paused = true)]
async fn builds_that_share_a_hot_key_without_l1_do_not_wait_for_each_other_again_and_again() {
    let mut fleet = Fleet::new();
    fleet.nodes = (0..NODES).map(|n| fleet.node(n < NODES / 2, 1)).collect();
    fleet.run(20_000, 5).await;
    let longest = *lock(&fleet.longest);
    println!("half and half without L1: {:?} loads, the longest read {longest} ms", fleet.loads());
    // The load of one's own, behind one of the other build; with no time of rest it was 2 s.
    assert!(u64::try_from(longest).expect("short") <= 4 * LOAD, "a read took {longest} ms");
}
