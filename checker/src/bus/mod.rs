//! Caches with an L1 in several processes that hear of each other's writes, and a server that is interrupted.
//!
//! What is promised: a read that begins later than a write was acknowledged, and as long after it as a message takes, shows
//! nothing older. Near an interruption of the bus the time is longer: it is noticed within 3 s, and what is stored until the
//! bus listens again lives for 1 s. A write that was not confirmed is told when the bus works again, and counts from then on.

mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::BusRun;
use crate::backend::Backend;
use crate::breaks::Promise;
use crate::bus::report::Report;
use crate::chaos::{Chaos, Interruptions};
use crate::conductor::{Conductor, Length};
use crate::database::Database;
use crate::event::{BusSetup, Setup, Work};
use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::server::Server;
use crate::worker::Order;
use crate::worker::calls::nanos;

/// How long an L1 may be older where the bus breaks: as the consistency guide has it.
const BROKEN: Duration = Duration::from_secs(4);

/// The servers of a run.
struct Servers {
    l2: Option<Arc<Server>>,
    bus: Option<Arc<Server>>,
}

impl Servers {
    fn start(args: &BusRun) -> anyhow::Result<Self> {
        let backend = args.l2.backend();
        let l2 = backend.map(|backend| Server::start(backend, None).map(Arc::new)).transpose()?;
        let bus = args.bus.server(backend.zip(l2.as_ref()))?;
        Ok(Self { l2, bus })
    }

    fn are_one(&self) -> bool {
        self.l2.as_ref().zip(self.bus.as_ref()).is_some_and(|(l2, bus)| Arc::ptr_eq(l2, bus))
    }
}

fn url(server: Option<&Arc<Server>>) -> String {
    server.map_or_else(String::new, |server| server.url())
}

/// Whether nobody read an older value later than is promised.
pub(crate) fn run(args: &BusRun) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let servers = Servers::start(args)?;
    let database = Database::start(args.keys, None)?;
    let prefix = format!("checker-{:016x}.", fastrand::u64(..));
    let interrupted = args.chaos != Chaos::default();
    let mut fleet = Fleet::start((0..args.processes).map(|process| Setup {
        process,
        work: Work::Hearing {
            keys: args.keys,
            seed,
            processes: args.processes,
            sets: !(interrupted && servers.are_one()),
        },
        // Nobody asks for one where there is no L2.
        backend: args.l2.backend().unwrap_or(Backend::Memory),
        url: url(servers.l2.as_ref()),
        prefix: prefix.clone(),
        leases: true,
        l2: servers.l2.is_some(),
        bus: BusSetup {
            carrier: args.bus,
            url: url(servers.bus.as_ref()),
            loss: args.loss.unwrap_or(0),
            blind: args.blind,
        },
        database: database.socket().to_owned(),
        tasks: args.tasks,
        slow_loads: 0,
    }))?;
    let begin = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    // Without a bus there is no chaos, and nothing to interrupt.
    let interrupts = servers.bus.clone().unwrap_or_else(|| Arc::new(Server::Given(String::new())));
    let interruptions = Interruptions::new(args.chaos, args.ops, &mut random, interrupts);
    let (interruptions, breaks) = interruptions.of_a_bus();
    let delivery = Duration::from_millis(args.bound_ms);
    let broken = BROKEN + delivery;
    // A message that is lost without a word is missed by the next one, or by a hello.
    let delivery = if args.loss.is_some() { broken } else { delivery };
    let promise = Promise { delivery: nanos(delivery), broken: nanos(broken), breaks };
    let judge = Judge::hearing(args.processes, promise, database.versions());
    let mut conductor = Conductor::new(args.processes, judge, interruptions);
    fleet.order(Order::Go)?;
    conductor.perform(Length { ops: args.ops, kills_one: false }, &mut fleet, &mut random)?;
    let took = begin.elapsed();
    fleet.order(Order::Stop)?;
    conductor.all_ended(&mut fleet)?;
    std::thread::sleep(if interrupted { broken } else { delivery });
    fleet.order(Order::Rest)?;
    conductor.at_rest(args.processes, &mut fleet)?;
    Report::new(args, seed, took, (delivery, broken), &conductor).tell(&conductor.judge)
}
