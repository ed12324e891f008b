//! The connections of one server that nobody uses right now, and the numbers of all that live.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::connection::Connection;
use crate::fault::Fault;

/// Kept under a lock that is never held while anybody waits. What is to be closed is handed out, to be closed outside.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The one used last is at the back.
    idle: VecDeque<Box<Connection>>,
    /// Idle or in use.
    living: Vec<u64>,
    /// Where the newest connection leads.
    pub(crate) peer: Option<SocketAddr>,
    /// Counts how often the name came to mean another address.
    era: u64,
    /// Why no connection can be made. While it is set, only the prober tries.
    pub(crate) down: Option<Fault>,
    pub(crate) probing: bool,
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    Any,
    /// Those of an era that are not younger than this number.
    NotYounger {
        era: u64,
        than: u64,
    },
}

impl Which {
    fn includes(self, id: u64, era: u64) -> bool {
        match self {
            Self::Any => true,
            Self::NotYounger { era: of, than } => of == era && id <= than,
        }
    }
}

/// What is there of the connections that will do.
pub(crate) enum Lookup {
    Idle(Box<Connection>),
    /// All are in use.
    InUse,
    /// None is left, and none will come.
    Gone,
}

impl Pool {
    /// Counts a new connection, which belongs to whoever made it. Those that lead elsewhere are of no use any more: that
    /// process has values and CAS numbers of its own.
    pub(crate) fn admit(&mut self, connection: &mut Connection) -> VecDeque<Box<Connection>> {
        self.down = None;
        let mut elsewhere = VecDeque::new();
        if self.peer.is_some_and(|peer| peer != connection.peer) {
            self.era += 1;
            self.living.clear();
            elsewhere = std::mem::take(&mut self.idle);
        }
        self.peer = Some(connection.peer);
        connection.era = self.era;
        self.living.push(connection.id);
        elsewhere
    }

    /// The one used last among the idle connections that will do.
    pub(crate) fn take(&mut self, which: Which) -> Lookup {
        let era = self.era;
        let found = self.idle.iter().rposition(|connection| which.includes(connection.id, era));
        match found.and_then(|at| self.idle.remove(at)) {
            Some(connection) => Lookup::Idle(connection),
            None if self.living.iter().any(|id| which.includes(*id, era)) => Lookup::InUse,
            None => Lookup::Gone,
        }
    }

    /// Takes a connection back. Hands out one to close where there are `most` already, or one that was idle for too long.
    pub(crate) fn give_back(&mut self, mut connection: Box<Connection>, most: usize) -> Option<Box<Connection>> {
        if self.idle.len() >= most || self.era != connection.era {
            self.forget(connection.id);
            return Some(connection);
        }
        connection.used = Instant::now();
        let expired = self.idle.front().is_some_and(|oldest| oldest.is_old());
        let expired = if expired { self.idle.pop_front() } else { None };
        expired.iter().for_each(|oldest| self.forget(oldest.id));
        self.idle.push_back(connection);
        expired
    }

    /// A connection is no more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.living.retain(|living| *living != id);
    }
}
