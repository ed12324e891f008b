//! What calls and the task of the connection let each other know without a lock: signs of life, and what the server is
//! like.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::connection::mget_first::MgetFirst;

/// How long nothing is written after the server refused to.
const COOL_DOWN: Duration = Duration::from_secs(1);
pub(crate) struct Health {
    born: Instant,
    /// Calls that wait for their answer.
    in_flight: AtomicUsize,
    /// A call was sent since the last look.
    asked: AtomicBool,
    /// An answer came since the last look.
    heard: AtomicBool,
    /// The server said that it is a replica.
    replica: AtomicBool,
    /// The server is older than `SET .. NX GET`.
    old: AtomicBool,
    /// The server runs no scripts for us.
    scriptless: AtomicBool,
    /// Which scripts the server has run, a bit each.
    known: AtomicU8,
    /// This was said.
    told: AtomicBool,
    /// When the task last looked, in milliseconds since `born`.
    looked: AtomicU64,
    /// Until when nothing is written, in the same; zero: not at all.
    cool_until: AtomicU64,
    /// Whether batches may read first.
    pub(crate) mget_first: MgetFirst,
}

/// What happened since the last look.
pub(crate) struct Look {
    pub(crate) heard: bool,
    pub(crate) asked: bool,
    pub(crate) replica: bool,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            in_flight: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            replica: AtomicBool::new(false),
            old: AtomicBool::new(false),
            scriptless: AtomicBool::new(false),
            known: AtomicU8::new(0),
            told: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            cool_until: AtomicU64::new(0),
            mget_first: MgetFirst::default(),
        }
    }

    /// A call is about to be sent.
    pub(crate) fn ask(&self) {
        raise(&self.asked);
    }

    /// An answer came, of whatever kind.
    pub(crate) fn hear(&self) {
        raise(&self.heard);
    }

    pub(crate) fn wait(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wait_no_more(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The task lives.
    pub(crate) fn pulse(&self) {
        self.looked.store(self.now(), Ordering::Relaxed);
    }

    /// Since when there was no sign of the task.
    pub(crate) fn without_pulse(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.looked.load(Ordering::Relaxed)))
    }

    pub(crate) fn look(&self) -> Look {
        self.pulse();
        let heard = self.heard.swap(false, Ordering::Relaxed);
        Look {
            heard,
            // Kept beside an answer, which may be that of an earlier call.
            asked: !heard && self.asked.swap(false, Ordering::Relaxed),
            replica: self.replica.swap(false, Ordering::Relaxed),
        }
    }

    /// Another connection, and perhaps another server.
    pub(crate) fn forget_server(&self) {
        self.old.store(false, Ordering::Relaxed);
        self.scriptless.store(false, Ordering::Relaxed);
        self.replica.store(false, Ordering::Relaxed);
        self.known.store(0, Ordering::Relaxed);
        self.cool_until.store(0, Ordering::Relaxed);
        self.mget_first.reset();
    }

    /// Nothing is written for a moment: the server refused to.
    pub(crate) fn cool_down(&self) {
        self.cool_until.store(self.now() + millis(COOL_DOWN), Ordering::Relaxed);
    }

    pub(crate) fn is_cooling(&self) -> bool {
        let until = self.cool_until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    pub(crate) fn note_replica(&self) {
        raise(&self.replica);
    }

    pub(crate) fn note_old(&self) {
        raise(&self.old);
    }

    /// The server runs no scripts for us. `true`: nobody has said so yet.
    pub(crate) fn note_scriptless(&self) -> bool {
        raise(&self.scriptless);
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_scriptless(&self) -> bool {
        self.scriptless.load(Ordering::Relaxed)
    }

    /// The server has run the script of this number.
    pub(crate) fn note_known(&self, script: u8) {
        if !self.knows(script) {
            self.known.fetch_or(1 << script, Ordering::Relaxed);
        }
    }

    pub(crate) fn knows(&self, script: u8) -> bool {
        self.known.load(Ordering::Relaxed) & (1 << script) != 0
    }

    pub(crate) fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }
}

/// Sets a flag that many set and one clears: mostly it is set already, and reading is cheaper.
fn raise(flag: &AtomicBool) {
    if !flag.load(Ordering::Relaxed) {
        flag.store(true, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
