//! The connections of one server that nobody uses right now, and the numbers of all that live.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::connection::Connection;
use crate::connection::reconnect::Probe;
use crate::error::Fault;

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
    pub(crate) probe: Probe,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;

    async fn made(listener: &TcpListener, id: u64) -> Box<Connection> {
        let address = listener.local_addr().expect("an address");
        let mut connection = Connection::open(address).await.expect("a connection");
        connection.id = id;
        connection
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a port")
    }

    /// The number of the connection that is taken, zero if all are in use.
    fn taken(pool: &mut Pool, which: Which) -> Option<u64> {
        match pool.take(which) {
            Lookup::Idle(connection) => Some(connection.id),
            Lookup::InUse => Some(0),
            Lookup::Gone => None,
        }
    }

    #[tokio::test]
    async fn only_connections_that_are_old_enough_will_do() {
        let (server, mut pool) = (listener().await, Pool::default());
        for id in 1..=4 {
            let mut connection = made(&server, id).await;
            pool.admit(&mut connection);
            assert!(pool.give_back(connection, 10).is_none());
        }
        let up_to_two = Which::NotYounger { era: 0, than: 2 };
        assert_eq!(taken(&mut pool, up_to_two), Some(2));
        assert_eq!(taken(&mut pool, Which::Any), Some(4), "the one used last");
        assert_eq!(taken(&mut pool, up_to_two), Some(1));
        assert_eq!(taken(&mut pool, up_to_two), Some(0), "both are in use");
        pool.forget(2);
        assert_eq!(taken(&mut pool, up_to_two), Some(0), "one is in use");
        pool.forget(1);
        assert_eq!(taken(&mut pool, up_to_two), None, "what is left is younger");
        assert_eq!(taken(&mut pool, Which::Any), Some(3));
    }

    /// A name that means another process from now on: what the old one gave is worth nothing there, whatever the numbers.
    #[tokio::test]
    async fn when_the_name_means_another_address_the_old_connections_go() {
        let (old, new, mut pool) = (listener().await, listener().await, Pool::default());
        let (mut idle, mut busy) = (made(&old, 1).await, made(&old, 2).await);
        pool.admit(&mut idle);
        pool.admit(&mut busy);
        assert!(pool.give_back(idle, 10).is_none());
        let mut elsewhere = made(&new, 3).await;
        assert_eq!(pool.admit(&mut elsewhere).len(), 1, "the idle one is handed out");
        assert!(pool.give_back(elsewhere, 10).is_none());
        assert!(pool.give_back(busy, 10).is_some(), "the one in use is not taken back");
        assert_eq!(taken(&mut pool, Which::NotYounger { era: 0, than: 9 }), None);
        assert_eq!(taken(&mut pool, Which::NotYounger { era: 1, than: 9 }), Some(3));
        let mut back = made(&old, 4).await;
        pool.admit(&mut back);
        assert_eq!(taken(&mut pool, Which::NotYounger { era: 0, than: 9 }), None, "back again is not as before");
    }

    #[tokio::test]
    async fn what_was_idle_for_too_long_is_closed() {
        let (server, mut pool) = (listener().await, Pool::default());
        for id in 1..=2 {
            let mut connection = made(&server, id).await;
            pool.admit(&mut connection);
            pool.give_back(connection, 10);
        }
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).expect("a clock that is old enough");
        pool.idle[0].used = long_ago;
        let Lookup::Idle(newest) = pool.take(Which::Any) else { panic!("none is idle") };
        assert_eq!(pool.give_back(newest, 10).map(|oldest| oldest.id), Some(1));
        assert_eq!(pool.living, [2]);
        pool.idle[0].used = long_ago;
        let Lookup::Idle(oldest) = pool.take(Which::Any) else { panic!("none is idle") };
        assert!(!oldest.is_fit(), "it would be used again");
    }

    #[tokio::test]
    async fn no_more_than_allowed_are_kept() {
        let (server, mut pool) = (listener().await, Pool::default());
        let mut both = [made(&server, 1).await, made(&server, 2).await];
        both.iter_mut().for_each(|connection| drop(pool.admit(connection)));
        let [one, other] = both;
        assert!(pool.give_back(one, 1).is_none());
        assert_eq!(pool.give_back(other, 1).map(|closed| closed.id), Some(2));
        assert_eq!(pool.living, [1]);
    }
}
