//! What a row runs: so many operations at a time, and what must be done in between.

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use accelerator::{L1Store, LevelCache};
use tokio::runtime::Handle;

use crate::matrix::{Built, Payload, Servers, Service, WARM, build, make};
use crate::rows::{BATCH, Row, Via, What};

/// Operations on single keys between two preparations.
pub const CHUNK: u64 = 256;

/// Where there is nothing to prepare: so many that reading a clock before and after does not show.
pub const READS: u64 = 4096;

/// No fill takes so long. A task that does is one that stays: that which ticks for the cache's time limits begins with the
/// first of them.
const STAYS: Duration = Duration::from_millis(100);

/// Far from the warm keys.
const FRESH: u64 = 1 << 40;

/// The stores, service and position of one row.
pub struct Subject {
    row: Row,
    /// Tasks that stay: a client's connection, for one.
    idle_tasks: usize,
    /// The cache of the row.
    pub built: Built,
    /// The service over it.
    pub service: Service,
    at: u64,
}

impl Subject {
    /// A row with warm keys in every level.
    pub async fn new(row: Row, servers: &Servers) -> Self {
        let built = build(row.pair, servers).await;
        let service = Service::new(built.cache.clone());
        let mut subject = Self { row, idle_tasks: 0, built, service, at: 0 };
        // Where keys are missed, L1 is as full as it will be all the time.
        let keys = if row.what == What::Miss && row.pair.l1 != "none" { 2 * super::CAPACITY } else { WARM };
        for first in (0..keys).step_by(WARM as usize) {
            subject.warm(first..keys.min(first + WARM)).await;
        }
        subject.idle_tasks = Handle::current().metrics().num_alive_tasks();
        subject
    }

    async fn warm(&self, keys: Range<u64>) {
        let items = keys.map(|key| (key, Some(make(key)))).collect();
        self.built.cache.mset(items).await.expect("the stores here take everything");
    }

    /// Operations that [`run`](Self::run) may do after one [`prepare`](Self::prepare).
    #[must_use]
    pub fn chunk(&self) -> u64 {
        match (self.row.pair.is_remote(), self.row.what, self.row.pair.l1, self.row.batch) {
            (true, What::Miss | What::L2Hit, _, batch) | (true, _, "none", batch) => remote_turn(batch),
            (_, What::Hit, l1, batch) if l1 != "none" => keys_of(READS, batch),
            (_, _, _, batch) => keys_of(CHUNK, batch),
        }
    }

    /// What has to be so before the next chunk, and is not the row's business.
    pub fn prepare(&self) {
        match self.row.what {
            What::Hit => {}
            // Or memory would grow with every miss.
            What::Miss => {
                if let Some(memory) = &self.built.memory {
                    memory.wipe();
                }
            }
            What::L2Hit => self.built.forget_l1(&(0..WARM).collect::<Vec<_>>()),
        }
    }

    fn key(&self, i: u64) -> u64 {
        if self.row.what == What::Miss { FRESH + i } else { i % WARM }
    }

    fn keys(&self, i: u64) -> [u64; BATCH as usize] {
        std::array::from_fn(|at| self.key(i * BATCH + at as u64))
    }

    /// So many operations, one after another, and the fills of L2 that they left behind.
    pub async fn run(&mut self, count: u64) {
        self.ask(count).await;
        let (metrics, mut since) = (Handle::current().metrics(), None);
        while metrics.num_alive_tasks() > self.idle_tasks {
            if since.get_or_insert_with(Instant::now).elapsed() > STAYS {
                self.idle_tasks = metrics.num_alive_tasks();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&mut self, count: u64) {
        let from = self.at;
        self.at += count;
        let (service, range) = (&self.service, from..from + count);
        match (self.row.batch, self.row.via) {
            (_, Via::Static) if self.row.pair.l1 == "none" => self.built.static_l2_hits(from, count).await,
            (_, Via::Static) => self.built.static_hits(from, count),
            (false, Via::Manual) => {
                for i in range {
                    let _ = black_box(service.get_by_hand(black_box(self.key(i))).await);
                }
            }
            (false, Via::Macro) => {
                for i in range {
                    let _ = black_box(service.get(black_box(self.key(i))).await);
                }
            }
            (true, Via::Manual) => {
                for i in range {
                    let _ = black_box(service.get_many_by_hand(black_box(&self.keys(i))).await);
                }
            }
            (true, Via::Macro) => {
                for i in range {
                    let _ = black_box(service.get_many(black_box(&self.keys(i))).await);
                }
            }
        }
    }
}

/// So many keys, in operations.
pub(super) fn keys_of(keys: u64, batch: bool) -> u64 {
    if batch { keys / BATCH } else { keys }
}

/// A round trip takes so long that reading a clock is nothing beside it.
pub(super) fn remote_turn(batch: bool) -> u64 {
    if batch { 4 } else { 16 }
}

/// Hits through the handle, whose store the compiler knows.
pub(super) fn static_hits<S: L1Store<u64, Payload>>(cache: &LevelCache<u64, Payload, S>, from: u64, count: u64) {
    for i in from..from + count {
        black_box(crate::matrix::now(cache.get(black_box(&(i % WARM)))));
    }
}

/// Hits of L2 through the handle.
pub(super) async fn static_l2_hits<S: L1Store<u64, Payload>>(
    cache: &LevelCache<u64, Payload, S>,
    from: u64,
    count: u64,
) {
    for i in from..from + count {
        let _ = black_box(cache.get(black_box(&(i % WARM))).await);
    }
}
