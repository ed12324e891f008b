//! What processes tell each other: the setup of a worker, its journal, its end.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Carrier};
use crate::row::{Id, Seen};

/// What a worker process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Its number.
    pub(crate) process: usize,
    pub(crate) work: Work,
    pub(crate) backend: Backend,
    /// Of the server.
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) leases: bool,
    /// Whether there is an L2.
    pub(crate) l2: bool,
    pub(crate) bus: BusSetup,
    /// Where the database listens.
    pub(crate) database: PathBuf,
    pub(crate) tasks: usize,
    /// One load in a hundred takes so many milliseconds; zero: none does.
    pub(crate) slow_loads: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// The main mode: random operations on these keys, of which those from `near` on are cached in L1 as well.
    Operations { keys: Id, near: Id, seed: u64, guards: Option<Guards> },
    /// One cold key.
    Cold,
    /// Random operations on a cache with an L1 that hears of other nodes' writes.
    Hearing { keys: Id, seed: u64, processes: usize, sets: bool },
    /// As many fills or deletes a second, each of another key.
    Crowd { fills: bool, per_second: u32, seconds: u32 },
}

/// The bus of a worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BusSetup {
    pub(crate) carrier: Carrier,
    /// Of its server.
    pub(crate) url: String,
    /// One message in so many is lost, and nobody says so; zero: none is.
    pub(crate) loss: u32,
    /// The caches are not told of what is lost.
    pub(crate) blind: bool,
}

/// How writers guard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Guards {
    /// This one, and how many there are: they share the keys that have one writer.
    pub(crate) process: usize,
    pub(crate) processes: usize,
    /// Whether keys are set as well.
    pub(crate) sets: bool,
}

/// The verbs of the cache, as the checker calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verb {
    Get,
    Mget,
    GetOrLoad,
    ForceRefresh,
    Lookup,
    Del,
    Mdel,
    WriteGuard,
    Set,
}

impl Verb {
    pub(crate) const ALL: [Self; 9] = [
        Self::Get,
        Self::Mget,
        Self::GetOrLoad,
        Self::ForceRefresh,
        Self::Lookup,
        Self::Del,
        Self::Mdel,
        Self::WriteGuard,
        Self::Set,
    ];
}

/// Something that happened to a key in a worker; times are those of `time::now`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: Id,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// A read by this verb showed this. `joined`: when the oldest flight that it may have joined began.
    Read { verb: Verb, seen: Seen, joined: u64 },
    /// The loader read this version from the database.
    Loaded(u64),
    /// This version was committed under a write guard that stands: nobody may begin to read an older one from now on.
    Committed(u64),
    /// The invalidation after this version was confirmed: nobody may read an older one from now on.
    Acknowledged(Verb, u64),
    /// It was not confirmed: this process may not read an older one from now on.
    Unconfirmed(Verb, u64),
    /// What L1 or L2 has when all is at rest.
    AtRest(Seen),
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// It waits for the start.
    Ready,
    /// What happened since the last journal; nothing is missing up to the time `until`.
    Journal { until: u64, ops: u64, events: Vec<Event> },
    /// The store works again after an interruption; the time it took, in nanoseconds, and what was tried meanwhile.
    Recovered { took: u64, tried: String },
    /// All operations have ended, and the cache is shut down.
    Ended(Box<Summary>),
    /// Answers of the cold key.
    Cold(ColdSummary),
    /// A part of a crowd is done.
    Crowd(CrowdSummary),
    /// Something of the checker itself failed.
    Trouble(String),
}

/// What a worker counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) hits: u64,
    pub(crate) loads: u64,
    pub(crate) unconfirmed: u64,
    /// The longest call of each verb, in nanoseconds, in the order of [`Verb::ALL`].
    pub(crate) longest: [u64; Verb::ALL.len()],
    /// Calls longer than their hard timeout and the grace.
    pub(crate) late: u64,
    pub(crate) first_late: Option<String>,
    /// The longest time that the machine kept a task waiting, in nanoseconds.
    pub(crate) stall: u64,
    /// Errors of reads whose loader was well.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) flights_left: usize,
    /// Keys whose delete was still not confirmed at the end.
    pub(crate) unconfirmed_left: usize,
    pub(crate) rss_growth_kib: i64,
    pub(crate) news: News,
}

/// What a worker's cache knows of its bus.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) published: u64,
    pub(crate) publishes_failed: u64,
    pub(crate) received: u64,
    /// By cause, those that there were.
    pub(crate) gaps: Vec<(String, u64)>,
    /// From a node's publish to another's purge: half, 99 of 100, all of them, in nanoseconds.
    pub(crate) delivery: [u64; 3],
    /// From a publish until the node hears itself.
    pub(crate) echo: [u64; 3],
    /// What the bus had yet to take at the end.
    pub(crate) unpublished_left: usize,
}

/// What a process of a crowd has done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CrowdSummary {
    pub(crate) done: u64,
    pub(crate) errors: u64,
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) gaps: u64,
    pub(crate) took_ms: u64,
    /// Of this process, meanwhile.
    pub(crate) cpu_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ColdSummary {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// L2 reads that got no answer in time, or a bad one. Each may have led to a load without a lease.
    pub(crate) l2_errors: u64,
    /// The longest call, in nanoseconds.
    pub(crate) longest: u64,
}

/// Writes a message, and how long it is.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads a message; `None` at the end of the stream.
pub(crate) fn receive<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
}
