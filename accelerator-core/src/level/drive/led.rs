//! Who leads a flight.

use std::sync::Arc;

use crate::level::drive::host::{FlightOf, Host, give_up};
use crate::level::flight::join::Join;

/// The ticket of a flight. Dropped, it passes on.
pub(crate) struct Led<H: Host> {
    flight: Option<Arc<FlightOf<H>>>,
    // Others hold tickets of it as well, and one of them may have the lease of L2.
    beside: bool,
}

impl<H: Host> Led<H> {
    pub(crate) fn new(flight: Arc<FlightOf<H>>) -> Self {
        Self { flight: Some(flight), beside: false }
    }

    pub(crate) fn beside(flight: Arc<FlightOf<H>>) -> Self {
        Self { flight: Some(flight), beside: true }
    }

    pub(crate) fn flight(&self) -> Option<&Arc<FlightOf<H>>> {
        self.flight.as_ref()
    }

    /// Whether others hold tickets of the flight as well.
    pub(crate) fn is_beside(&self) -> bool {
        self.beside
    }

    /// The flight, without the duty.
    pub(crate) fn take(mut self) -> Option<Arc<FlightOf<H>>> {
        self.flight.take()
    }
}

impl<H: Host> Drop for Led<H> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            give_up(&flight, false);
        }
    }
}

/// What joining answered, by one who owns what it leads: a future that holds it may be dropped before its first poll. `P`:
/// what L1 has.
pub(crate) enum Step<P, H: Host> {
    Hit(P),
    Lead(Led<H>),
    Follow(Arc<FlightOf<H>>),
}

impl<P, H: Host> Step<P, H> {
    pub(crate) fn new(joined: Join<P, Arc<FlightOf<H>>, Arc<FlightOf<H>>>) -> Self {
        match joined {
            Join::Hit(value) => Self::Hit(value),
            Join::Lead(flight) => Self::Lead(Led::new(flight)),
            Join::Follow(flight) => Self::Follow(flight),
        }
    }
}
