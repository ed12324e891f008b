//! One server: making connections, lending them, and noticing that it is gone and back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use accelerator_core::Backoff;
use tokio::net::lookup_host;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::connection::handshake;
use crate::connection::pool::{Lookup, Pool, Which};
use crate::error::Fault;
use crate::settings::Settings;

/// Connections of this process so far, to all servers.
static MADE: AtomicU64 = AtomicU64::new(0);
/// How long the first pause is at most between two tries to reach a server that is down, and how long later ones are.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One server and its connections.
#[derive(Debug)]
pub(crate) struct Server {
    /// `host:port`, as configured.
    pub(crate) name: String,
    /// The hash of the name: its place in routing, and its mark in tokens.
    pub(crate) hash: u64,
    settings: Arc<Settings>,
    /// One permit per connection in use.
    permits: Arc<Semaphore>,
    pool: Mutex<Pool>,
    /// Told whenever a connection comes back or goes.
    returned: Notify,
    /// Connections that are read on after their callers have given up; at most `max_connections`.
    draining: AtomicUsize,
}

/// A connection in use. Dropped in step it goes back to its pool, otherwise it is closed.
#[derive(Debug)]
pub(crate) struct Lent {
    server: Arc<Server>,
    // Empty only while it is dropped.
    connection: Option<Box<Connection>>,
    was_idle: bool,
    _permit: OwnedSemaphorePermit,
}

impl Server {
    pub(crate) fn new(name: String, settings: Arc<Settings>) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        let permits = Arc::new(Semaphore::new(settings.max_connections));
        Self {
            name,
            hash,
            settings,
            permits,
            pool: Mutex::default(),
            returned: Notify::new(),
            draining: AtomicUsize::new(0),
        }
    }

    /// A connection: an idle one, or a new one where the server is up and the limit allows it.
    ///
    /// Where none can be made, waits for one in use. Where there is none either, says at once why.
    pub(crate) async fn checkout(self: &Arc<Self>) -> Result<Lent, Fault> {
        let permit = self.permit().await?;
        if let Lookup::Idle(connection) = self.take(Which::Any) {
            return Ok(self.lend(connection, permit, true));
        }
        let down = self.why_down();
        let why = match down {
            Some(why) => {
                drop(permit);
                why
            }
            None => match self.dial(permit).await {
                Ok(lent) => return Ok(lent),
                Err(why) => why,
            },
        };
        self.borrow(Which::Any).await?.ok_or(why)
    }

    /// A connection that will do: idle, or as soon as one comes back. `None` when there is none left.
    pub(crate) async fn borrow(self: &Arc<Self>, which: Which) -> Result<Option<Lent>, Fault> {
        // The runtime hears what happened to its sockets when it waits for them: what ended a moment ago vouches for nothing.
        tokio::task::yield_now().await;
        loop {
            let mut returned = std::pin::pin!(self.returned.notified());
            // From here on no return is missed.
            returned.as_mut().enable();
            let permit = self.permit().await?;
            match self.take(which) {
                Lookup::Idle(connection) => return Ok(Some(self.lend(connection, permit, true))),
                Lookup::Gone => return Ok(None),
                Lookup::InUse => drop(permit),
            }
            returned.await;
        }
    }

    /// Nothing that could panic is done under this lock.
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| Fault::unavailable("the store is closed"))
    }

    fn take(&self, which: Which) -> Lookup {
        loop {
            let found = self.pool().take(which);
            match found {
                // The socket is asked outside of the lock.
                Lookup::Idle(connection) => {
                    let id = connection.id;
                    match connection.here().filter(|connection| connection.is_fit()) {
                        Some(connection) => return Lookup::Idle(connection),
                        None => self.forget(id),
                    }
                }
                found => return found,
            }
        }
    }

    fn lend(self: &Arc<Self>, connection: Box<Connection>, permit: OwnedSemaphorePermit, was_idle: bool) -> Lent {
        Lent { server: Arc::clone(self), connection: Some(connection), was_idle, _permit: permit }
    }

    fn forget(&self, id: u64) {
        self.pool().forget(id);
        self.returned.notify_waiters();
    }

    fn why_down(self: &Arc<Self>) -> Option<Fault> {
        let why = self.pool().down.clone();
        if why.is_some() {
            // The runtime that the prober ran on may be gone, or stand still.
            self.begin_to_probe();
        }
        why
    }

    /// Makes a connection in a task of its own: who asked for it may go away, and the next needs one as well.
    async fn dial(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lent, Fault> {
        let runtime = Handle::try_current().map_err(|_| Fault::no_runtime())?;
        let server = Arc::clone(self);
        let task = runtime.spawn(async move {
            match server.open().await {
                Ok(connection) => Ok(server.lend(connection, permit, false)),
                Err(why) => {
                    server.pool().down = Some(why.clone());
                    server.begin_to_probe();
                    Err(why)
                }
            }
        });
        // A task that panicked or was cancelled found a runtime without I/O, or one that ends.
        task.await.unwrap_or_else(|_| Err(Fault::no_runtime()))
    }

    /// A new connection to a server that greeted well.
    async fn open(&self) -> Result<Box<Connection>, Fault> {
        let made = timeout(self.settings.connect_timeout, self.greeted()).await;
        let mut connection =
            made.unwrap_or_else(|_| Err(Fault::unavailable("no connection within connect_timeout")))?;
        // Numbered after the greeting: whoever greeted has it, while others may be waiting for the next to listen there.
        connection.id = MADE.fetch_add(1, Ordering::AcqRel) + 1;
        let elsewhere = self.pool().admit(&mut connection);
        drop(elsewhere);
        Ok(connection)
    }

    async fn greeted(&self) -> Result<Box<Connection>, Fault> {
        let refused = |error| Fault::io("no connection", error);
        let mut addresses: Vec<_> = lookup_host(self.name.as_str()).await.map_err(refused)?.collect();
        let known = self.pool().peer;
        // As long as the name still means the server that we know, this is the one to ask.
        addresses.sort_by_key(|address| Some(*address) != known);
        let share = self.settings.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut why = Fault::unavailable("the name has no address");
        for address in addresses {
            match timeout(share, Connection::open(address)).await {
                Ok(Ok(mut connection)) => {
                    let (version, noop) = connection.greet().await?;
                    handshake::check(&version, &noop)?;
                    return Ok(connection);
                }
                Ok(Err(error)) => why = refused(error),
                Err(_) => why = Fault::unavailable("no connection within connect_timeout"),
            }
        }
        Err(why)
    }

    /// Makes a first connection before anybody asks for one, where there is a runtime. What comes of it is found out by
    /// whoever asks: this says nothing.
    pub(crate) fn warm_up(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let server = Arc::downgrade(self);
        runtime.spawn(async move {
            let Some(server) = server.upgrade() else { return };
            if let Ok(permit) = Arc::clone(&server.permits).try_acquire_owned() {
                // Given back when it is dropped.
                drop(server.dial(permit).await);
            }
        });
    }

    /// Tries in the background until there is a connection again, or the store is gone.
    fn begin_to_probe(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(number) = self.pool().probe.begin() else { return };
        // Outside of the lock: a runtime that ends drops the task at once.
        let prober = Prober(Arc::downgrade(self), number);
        runtime.spawn(async move {
            let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
            loop {
                let pause = backoff.pause();
                if !prober.promises(pause) {
                    return;
                }
                sleep(pause).await;
                let Some(server) = prober.0.upgrade() else { return };
                if server.pool().down.is_none() || !prober.promises(server.settings.connect_timeout) {
                    return;
                }
                match server.open().await {
                    Ok(connection) => {
                        server.give_back(connection);
                        return;
                    }
                    Err(why) => server.pool().down.iter_mut().for_each(|down| *down = why.clone()),
                }
            }
        });
    }

    /// A connection that was read on, whatever became of it.
    pub(crate) fn take_back(&self, connection: Box<Connection>) {
        if connection.is_in_step() {
            self.give_back(connection);
        } else {
            self.forget(connection.id);
        }
    }

    /// [`keep_reading`](Lent::keep_reading) is over.
    pub(crate) fn drained(&self) {
        self.draining.fetch_sub(1, Ordering::AcqRel);
    }

    fn give_back(&self, connection: Box<Connection>) {
        let too_much = self.pool().give_back(connection, self.settings.max_idle());
        drop(too_much);
        self.returned.notify_waiters();
    }
}

/// The task of this number. Says that nobody probes any more, however it ended.
struct Prober(Weak<Server>, u64);

impl Prober {
    /// See [`Probe::promise`](crate::connection::reconnect::Probe::promise). `false` as well where the store is gone.
    fn promises(&self, within: Duration) -> bool {
        self.0.upgrade().is_some_and(|server| server.pool().probe.promise(self.1, within))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            server.pool().probe.end(self.1);
        }
    }
}

impl Lent {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("taken only by drop")
    }

    /// The connection without its place among those in use: it is read on, which others don't wait for. `None`: there are
    /// too many of these. Whoever gets one says [`drained`](Server::drained).
    pub(crate) fn keep_reading(&mut self) -> Option<(Arc<Server>, Box<Connection>)> {
        let (server, most) = (&self.server, self.server.settings.max_connections);
        let one_more = |n| (n < most).then_some(n + 1);
        server.draining.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        match self.connection.take() {
            Some(connection) => Some((server.clone(), connection)),
            None => {
                server.drained();
                None
            }
        }
    }

    /// Whether it comes from the pool, and so may have ended there.
    pub(crate) fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// The connections that lead to the process which now gives a lease, if it gives one over this connection: those that
    /// are there already. See docs/adr/0014-memcached-leases.md.
    pub(crate) fn witnesses(&self) -> Which {
        let era = self.connection.as_ref().map_or(0, |connection| connection.era);
        Which::NotYounger { era, than: MADE.load(Ordering::Acquire) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        match self.connection.take() {
            Some(connection) if connection.is_in_step() => self.server.give_back(connection),
            Some(connection) => self.server.forget(connection.id),
            None => {}
        }
    }
}
