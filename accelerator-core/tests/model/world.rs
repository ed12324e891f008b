//! The oracle: the source of truth, who read what from it and when, which invalidations were acknowledged, and so
//! which answers of a cache are right.
//!
//! Every value carries its key and the number of its [`Origin`]: where it came from, and when. So an answer can be
//! judged exactly:
//!
//! - it belongs to its key;
//! - it is not older than any invalidation (`del`, `set`, `clear`) that this node acknowledged before the read began;
//! - it was fresh at some moment of the read (or on its way into L2 when the read joined it), or stale within `stale_on_error` after a load that failed;
//! - an error has a failed load behind it.
//!
//! Callers that wait while a key is invalidated may get either value (protocols §7), which is why the floor is taken
//! when a read begins. Other nodes are bound by the TTL alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use accelerator_core::testkit::ManualClock;
use accelerator_core::{CacheError, Clock, ErrorKind};

/// A value: its key, and the number of its origin.
pub(crate) type Val = (u32, u64);
/// After a failed load the cache may serve a stale value without asking the source again for so long.
const RETRY_AFTER_MS: u64 = 1_000;
const HISTORY: usize = 40;

/// What the oracle must know of a cache's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) nodes: usize,
    pub(crate) has_loader: bool,
    /// The longest a value is fresh, in any level.
    pub(crate) ttl_ms: u64,
    /// The same for "absent"; `None`: never cached.
    pub(crate) null_ttl_ms: Option<u64>,
    pub(crate) stale_ms: u64,
    pub(crate) loader_timeout_ms: u64,
}

/// The loader's own error.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) keys: Vec<u32>,
}

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the source is down")
    }
}

impl std::error::Error for Down {}

/// Where a value came from.
struct Origin {
    key: u32,
    node: usize,
    /// Version of the source that a load read, or that was current when a `set` was called.
    rank: u64,
    step: u64,
    time: u64,
    life_ms: u64,
    visible: bool,
    loaded: bool,
    together: Arc<[u32]>,
}

/// What one node was told about one key.
#[derive(Clone, Default)]
struct Told {
    /// No read that begins now may return an older version.
    floor: u64,
    /// Invalidations called but not acknowledged, and those whose future was dropped.
    pending: Vec<u64>,
    /// When loads failed.
    failures: Vec<(u64, u64)>,
    /// Writes of L2: the steps at which they began and ended.
    writes: Vec<(u64, u64)>,
    /// Renewals of leases, likewise, with the time at which they ended: a fill waits for one that is under way, and begins
    /// in the moment in which it ends.
    renewals: Vec<(u64, u64, u64)>,
    /// The keys of the load that ended last.
    together: Arc<[u32]>,
}

struct KeyState {
    version: u64,
    present: bool,
    told: Vec<Told>,
    absents: Vec<u64>,
    history: VecDeque<(u64, u64, usize, &'static str, u64)>,
}

struct State {
    step: u64,
    keys: Vec<KeyState>,
    origins: Vec<Origin>,
    violations: u64,
    reports: Vec<String>,
}

/// The beginning of a read of one key.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    node: usize,
    key: u32,
    step: u64,
    time: u64,
    floor: u64,
}

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) facts: Facts,
    keys: u32,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(facts: Facts, keys: u32) -> Self {
        let key = || KeyState {
            version: 1,
            present: true,
            told: vec![Told::default(); facts.nodes],
            absents: Vec::new(),
            history: VecDeque::new(),
        };
        let all = (0..keys).map(|_| key()).collect();
        let state = State { step: 0, keys: all, origins: Vec::new(), violations: 0, reports: Vec::new() };
        Self { clock: ManualClock::new(), facts, keys, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    /// How many violations there were, and the first reports.
    pub(crate) fn verdict(&self) -> (u64, Vec<String>) {
        let state = self.state();
        (state.violations, state.reports.clone())
    }

    /// A new version of the source, without telling any cache.
    pub(crate) fn write_source(&self, key: u32, present: bool) {
        let now = self.now();
        let mut state = self.state();
        let at = &mut state.keys[key as usize];
        (at.version, at.present) = (at.version + 1, present);
        let version = at.version;
        state.note(now, key, 9, if present { "source written" } else { "source deleted" }, version);
    }

    /// What the source has: its version, and whether there is a value.
    pub(crate) fn read_source(&self, node: usize, key: u32) -> (u64, bool) {
        let now = self.now();
        let mut state = self.state();
        let (version, present) = (state.keys[key as usize].version, state.keys[key as usize].present);
        state.note(now, key, node, "source read", version);
        (version, present)
    }

    fn life_ms(&self, present: bool, own: Option<Duration>) -> u64 {
        let own = own.map(|own| u64::try_from(own.as_millis()).unwrap_or(u64::MAX));
        if present {
            own.unwrap_or(self.facts.ttl_ms)
        } else {
            self.facts.null_ttl_ms.map_or(0, |ttl| own.unwrap_or(ttl))
        }
    }

    /// A load (or a body, or a ticket's holder) hands in what it read.
    pub(crate) fn loaded(
        &self,
        node: usize,
        key: u32,
        (rank, present): (u64, bool),
        own: Option<Duration>,
    ) -> Option<Val> {
        self.origin(node, key, rank, present, own, "loaded")
    }

    /// These keys are loaded by one call: their flights end together, when L2 has what it takes of them.
    pub(crate) fn loading_together(&self, node: usize, keys: &[u32]) {
        let keys: Arc<[u32]> = keys.into();
        let mut state = self.state();
        for &key in &*keys {
            state.keys[key as usize].told[node].together = keys.clone();
        }
    }

    fn origin(
        &self,
        node: usize,
        key: u32,
        rank: u64,
        present: bool,
        own: Option<Duration>,
        what: &'static str,
    ) -> Option<Val> {
        let (time, life_ms) = (self.now(), self.life_ms(present, own));
        let mut state = self.state();
        let id = state.origins.len() as u64;
        let step = state.note(time, key, node, what, if present { id } else { rank });
        let together = state.keys[key as usize].told[node].together.clone();
        state.origins.push(Origin {
            key,
            node,
            rank,
            step,
            time,
            life_ms,
            visible: true,
            loaded: what == "loaded",
            together,
        });
        if present {
            return Some((key, id));
        }
        state.keys[key as usize].absents.push(id);
        None
    }

    /// A load of these keys failed, or was given up.
    pub(crate) fn failed(&self, node: usize, keys: &[u32]) {
        let now = self.now();
        let mut state = self.state();
        for &key in keys {
            let step = state.note(now, key, node, "load failed", 0);
            state.keys[key as usize].told[node].failures.push((step, now));
        }
    }

    /// L2 begins to write these keys. Answers each with the number of its write.
    pub(crate) fn l2_writing(&self, node: usize, keys: &[u32]) -> Vec<(u32, usize)> {
        let now = self.now();
        let mut state = self.state();
        let keys = keys.iter().copied().filter(|&key| key < self.keys);
        keys.map(|key| {
            let step = state.note(now, key, node, "L2 write", 0);
            let writes = &mut state.keys[key as usize].told[node].writes;
            writes.push((step, u64::MAX));
            (key, writes.len() - 1)
        })
        .collect()
    }

    /// L2 ends writing these keys, one way or the other.
    pub(crate) fn l2_written(&self, node: usize, writes: &[(u32, usize)]) {
        let now = self.now();
        let mut state = self.state();
        for &(key, number) in writes {
            let step = state.note(now, key, node, "L2 write over", 0);
            state.keys[key as usize].told[node].writes[number].1 = step;
        }
    }

    /// A renewal of the leases of these keys begins; the steps until now, for [`World::renewed`].
    pub(crate) fn renewing(&self, node: usize, keys: &[u32]) -> Vec<(u32, usize)> {
        let now = self.now();
        let mut state = self.state();
        let keys = keys.iter().copied().filter(|&key| key < self.keys);
        keys.map(|key| {
            let step = state.note(now, key, node, "renewal", 0);
            let renewals = &mut state.keys[key as usize].told[node].renewals;
            renewals.push((step, u64::MAX, u64::MAX));
            (key, renewals.len() - 1)
        })
        .collect()
    }

    /// It ends, one way or the other.
    pub(crate) fn renewed(&self, node: usize, renewals: &[(u32, usize)]) {
        let now = self.now();
        let mut state = self.state();
        for &(key, number) in renewals {
            let step = state.note(now, key, node, "renewal over", 0);
            let renewal = &mut state.keys[key as usize].told[node].renewals[number];
            (renewal.1, renewal.2) = (step, now);
        }
    }

    /// A `set` is about to be called: the value to set. Its rank is the version that is current now.
    pub(crate) fn setting(&self, node: usize, key: u32, present: bool, own: Option<Duration>) -> Option<Val> {
        let rank = self.state().keys[key as usize].version;
        self.origin(node, key, rank, present, own, "set called")
    }

    /// A later item of the same `mset` wins: nobody may ever see this one.
    pub(crate) fn superseded(&self, value: Option<Val>) {
        if let Some((_, id)) = value {
            self.state().origins[id as usize].visible = false;
        }
    }

    /// An invalidation is about to be called; hand the answer to [`World::acknowledged`].
    pub(crate) fn invalidating(&self, node: usize, key: u32, what: &'static str) -> u64 {
        let now = self.now();
        let mut state = self.state();
        let version = state.keys[key as usize].version;
        state.note(now, key, node, what, version);
        state.keys[key as usize].told[node].pending.push(version);
        version
    }

    /// The invalidation was acknowledged (also with `Unconfirmed`: this node is protected all the same).
    pub(crate) fn acknowledged(&self, node: usize, key: u32, version: u64) {
        let now = self.now();
        let mut state = self.state();
        state.note(now, key, node, "acknowledged", version);
        let told = &mut state.keys[key as usize].told[node];
        if let Some(at) = told.pending.iter().position(|v| *v == version) {
            told.pending.swap_remove(at);
        }
        told.floor = told.floor.max(version);
    }

    /// Nothing is in flight: also what nobody waited for has happened.
    pub(crate) fn all_acknowledged(&self) {
        for told in self.state().keys.iter_mut().flat_map(|key| &mut key.told) {
            let latest = told.pending.drain(..).max().unwrap_or(0);
            told.floor = told.floor.max(latest);
        }
    }

    /// A read begins.
    pub(crate) fn start(&self, node: usize, key: u32, what: &'static str) -> Start {
        let time = self.now();
        let mut state = self.state();
        let floor = state.keys[key as usize].told[node].floor;
        let step = state.note(time, key, node, what, floor);
        Start { node, key, step, time, floor }
    }

    /// A read answered a value, or that there is none.
    pub(crate) fn answered(&self, start: Start, value: Option<Val>, allow_stale: bool) {
        let now = self.now();
        let mut state = self.state();
        state.note(now, start.key, start.node, "answered", value.map_or(u64::MAX, |(_, id)| id));
        let wrong = match value {
            Some((key, _)) if key != start.key => Some(format!("a value of key {key}")),
            Some((_, id)) => self.judge(&state, start, id, allow_stale),
            None => {
                let absents = &state.keys[start.key as usize].absents;
                let fits = absents.iter().rev().any(|&id| self.judge(&state, start, id, allow_stale).is_none());
                (!fits).then(|| "absent, though no admissible version was".to_owned())
            }
        };
        if let Some(wrong) = wrong {
            state.violation(start, now, &wrong);
        }
    }

    /// A read that could not have had anything but the present state of the source.
    pub(crate) fn answered_now(&self, start: Start, value: Option<Val>) {
        self.answered(start, value, false);
        let now = self.now();
        let mut state = self.state();
        let at = &state.keys[start.key as usize];
        let (version, present) = (at.version, at.present);
        let rank = value.and_then(|(_, id)| state.origins.get(id as usize)).map(|origin| origin.rank);
        if value.is_some() != present || rank.is_some_and(|rank| rank != version) {
            state.violation(start, now, "not what the source has");
        }
    }

    fn judge(&self, state: &State, start: Start, id: u64, allow_stale: bool) -> Option<String> {
        let Some(origin) = state.origins.get(id as usize) else { return Some("a value nobody made".to_owned()) };
        if origin.key != start.key || !origin.visible {
            return Some(format!("value {id}, which nobody may see"));
        }
        // What another node loaded may reach us through L2 after our invalidation; the TTL bounds it.
        if origin.node == start.node && origin.rank < start.floor {
            let (rank, floor) = (origin.rank, start.floor);
            return Some(format!("value {id} of version {rank}; version {floor} was acknowledged before"));
        }
        let fresh_until = origin.time.saturating_add(origin.life_ms);
        if origin.step >= start.step || start.time < fresh_until || state.was_filling(start, origin) {
            return None;
        }
        let over = start.time - fresh_until;
        if self.facts.stale_ms == 0 || !allow_stale {
            return Some(format!("value {id} was {over} ms over its life"));
        }
        if over >= self.facts.stale_ms {
            return Some(format!("value {id} was {over} ms over its life, more than stale_on_error"));
        }
        (!state.failed_lately(start, self.facts.stale_ms)).then(|| format!("stale value {id}, and no load failed"))
    }

    /// A read answered an error.
    pub(crate) fn erred(&self, start: Start, error: &CacheError) {
        let now = self.now();
        let mut state = self.state();
        state.note(now, start.key, start.node, "error", 0);
        let known = match error.kind() {
            ErrorKind::Loader => error.downcast_ref::<Down>().is_some_and(|down| down.keys.contains(&start.key)),
            kind => matches!(kind, ErrorKind::Timeout | ErrorKind::Panic | ErrorKind::NotLoaded),
        };
        // Who waited for two holders of tickets in turn, each as long as a load may take, is told so.
        let patient = error.kind() == ErrorKind::Timeout && now - start.time >= 2 * self.facts.loader_timeout_ms;
        if !known {
            state.violation(start, now, &format!("{error:?}"));
        } else if !patient && !state.failed_lately(start, self.facts.stale_ms) {
            state.violation(start, now, &format!("{error:?}, and no load failed"));
        }
    }

    /// Something else is wrong.
    pub(crate) fn wrong(&self, node: usize, key: u32, what: &str) {
        let start = self.start(node, key, "wrong");
        self.state().violation(start, self.now(), what);
    }
}

impl State {
    fn note(&mut self, now: u64, key: u32, node: usize, what: &'static str, detail: u64) -> u64 {
        self.step += 1;
        let history = &mut self.keys[key as usize].history;
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back((self.step, now, node, what, detail));
        self.step
    }

    /// Whether the flight that ended with `origin` was still there when the read began: it is joined until its value
    /// is in L2 (or L2's time is over).
    fn was_filling(&self, start: Start, origin: &Origin) -> bool {
        let of = |key: &u32| self.keys[*key as usize].told[start.node].writes.iter().rev();
        let writes = of(&start.key).chain(origin.together.iter().flat_map(of));
        let covers = |&(begin, end): &(u64, u64)| origin.step <= begin && begin <= start.step && start.step <= end;
        let renewals = |key: &u32| self.keys[*key as usize].told[start.node].renewals.iter().rev();
        let mut renewals = renewals(&start.key).chain(origin.together.iter().flat_map(renewals));
        let waits = |&(begin, end, ended_at): &(u64, u64, u64)| {
            begin <= start.step && origin.step <= end && (start.step <= end || start.time == ended_at)
        };
        origin.loaded && origin.node == start.node && (writes.into_iter().any(covers) || renewals.any(waits))
    }

    /// Whether a load failed during the read, or so shortly before that the source need not be asked again.
    fn failed_lately(&self, start: Start, stale_ms: u64) -> bool {
        let failures = &self.keys[start.key as usize].told[start.node].failures;
        let lately = |time: u64| stale_ms > 0 && time.saturating_add(RETRY_AFTER_MS) > start.time;
        failures.iter().rev().any(|&(step, time)| step >= start.step || lately(time))
    }

    fn violation(&mut self, start: Start, now: u64, what: &str) {
        self.violations += 1;
        if self.reports.len() >= 3 {
            return;
        }
        let Start { node, key, step, time, floor } = start;
        let mut report = format!(
            "  key {key} node {node}: read from step {step} ({time} ms), floor {floor}, ended at {now} ms: {what}\n"
        );
        for (step, time, node, what, detail) in &self.keys[key as usize].history {
            report += &format!("    {step:>6} {time:>8} ms node {node} {what} {}\n", *detail as i64);
        }
        self.reports.push(report);
    }
}
