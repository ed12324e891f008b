//! What happens in a run: who writes what, and how often the bus and L2 fail.

use super::weakness::Weakness;

/// A write of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Del,
    Set,
    Clear,
    /// A `del` of another key: its message says nothing of this one.
    Other,
}

/// How often each may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A message to a node is lost, and nobody says so.
    pub(crate) losses: u8,
    /// A message comes twice.
    pub(crate) doubles: u8,
    /// Two messages change places.
    pub(crate) swaps: u8,
    /// A message is damaged.
    pub(crate) damages: u8,
    /// A node's connection breaks, or its listener was too slow.
    pub(crate) cuts: u8,
    /// The bus does not take a message, or takes it and says that it did not.
    pub(crate) refusals: u8,
    /// L2 does not confirm a write.
    pub(crate) l2: u8,
    /// Times that `suspect_ttl` is over.
    pub(crate) ticks: u8,
}

/// How much of a plan is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// In the tests.
    Small,
    /// By command.
    Full,
}

/// One configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is about.
    pub name: &'static str,
    pub(crate) has_l2: bool,
    /// The writes of each node, called in this order; more than one may be in progress.
    pub(crate) writes: [&'static [Kind]; 2],
    /// Loads and backfills of each node that may be in progress at once.
    pub(crate) reads: [u8; 2],
    pub(crate) faults: Faults,
    /// The first node is new: the other one has listened for long, and its first hello was lost.
    pub(crate) first_is_new: bool,
    /// Another key, which was not taken, leaves no room for this one.
    pub(crate) is_full: bool,
    pub(crate) weakness: Option<Weakness>,
}

impl Plan {
    /// The same without one of its rules.
    #[must_use]
    pub fn without(mut self, weakness: Weakness) -> Self {
        self.weakness = Some(weakness);
        self
    }
}

/// All configurations.
#[must_use]
pub fn plans(size: Size) -> Vec<Plan> {
    let more = u8::from(size == Size::Full);
    let plan = Plan {
        name: "",
        has_l2: true,
        writes: [&[Kind::Del], &[]],
        reads: [1, 1],
        faults: Faults::default(),
        first_is_new: false,
        is_full: false,
        weakness: None,
    };
    vec![
        Plan {
            name: "messages",
            writes: [&[Kind::Del, Kind::Del, Kind::Other], &[]],
            faults: Faults { losses: 1, damages: 1, doubles: more, swaps: more, ..Faults::default() },
            ..plan.clone()
        },
        Plan {
            name: "cuts",
            writes: [&[Kind::Set, Kind::Del], &[]],
            faults: Faults { cuts: 1 + more, ticks: 1 + more, ..Faults::default() },
            ..plan.clone()
        },
        Plan {
            name: "both write",
            writes: [&[Kind::Del], &[Kind::Del]],
            faults: Faults { refusals: 1, cuts: more, ticks: more, ..Faults::default() },
            ..plan.clone()
        },
        Plan {
            name: "telling again",
            writes: [&[Kind::Del, Kind::Set], &[]],
            faults: Faults { refusals: 1 + more, losses: 1, l2: 1, doubles: more, ..Faults::default() },
            ..plan.clone()
        },
        Plan {
            name: "L1 only, cleared",
            has_l2: false,
            writes: [&[Kind::Clear, Kind::Set], &[Kind::Del]],
            faults: Faults { losses: 1, refusals: more, ..Faults::default() },
            ..plan.clone()
        },
        Plan {
            name: "a new node without room",
            writes: [&[Kind::Del, Kind::Del], &[]],
            faults: Faults { losses: 1, refusals: 1, l2: more, ..Faults::default() },
            first_is_new: true,
            is_full: true,
            ..plan.clone()
        },
        Plan {
            name: "lost after a cut",
            writes: [&[Kind::Del, Kind::Other], &[]],
            faults: Faults { losses: 1, cuts: 1, ..Faults::default() },
            ..plan
        },
    ]
}
