//! The joinable flight of a key, which is made only when somebody follows it.
//!
//! A load that is ready at once ends before anybody could wait for it: its leader needs a registration, and no flight.

use std::sync::Arc;

/// Who makes a reserved flight progress.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LedBy<U> {
    /// Its leader, who polls the load right now.
    Leader,
    /// A run, whose leader polls the loads of many keys, or a task.
    Run(U),
    /// Whoever holds the ticket.
    Ticket,
}

impl<U: Clone> LedBy<&U> {
    fn cloned(self) -> LedBy<U> {
        match self {
            Self::Leader => LedBy::Leader,
            Self::Run(run) => LedBy::Run(run.clone()),
            Self::Ticket => LedBy::Ticket,
        }
    }
}

/// What a slot knows of the flights `F` of its key. `U`: a run that the loads of many keys share.
pub(crate) struct KeyFlight<F, U> {
    now: Current<F, U>,
    // Detached while their leaders did not know of them yet; empty but for moments.
    orphans: Option<Box<Orphan<F>>>,
}

/// Thin, as a slot is moved around with it.
struct Orphan<F> {
    id: u64,
    flight: Arc<F>,
    next: Option<Box<Self>>,
}

enum Current<F, U> {
    Nothing,
    /// Led; nobody has followed.
    Reservation {
        id: u64,
        generation: u32,
        by: LedBy<U>,
    },
    /// `reserved`: its leader doesn't know of it yet.
    Made {
        flight: Arc<F>,
        reserved: Option<u64>,
    },
}

impl<F, U: Clone> KeyFlight<F, U> {
    pub(crate) fn nothing() -> Self {
        Self { now: Current::Nothing, orphans: None }
    }

    /// The flight of `generation` to follow; a reserved one is made now.
    pub(crate) fn follow(
        &mut self,
        generation_of: impl FnOnce(&F) -> u32,
        generation: u32,
        make: impl FnOnce(LedBy<U>) -> F,
    ) -> Option<Arc<F>> {
        match &self.now {
            Current::Made { flight, .. } => (generation_of(flight) == generation).then(|| flight.clone()),
            Current::Reservation { id, generation: own, by } if *own == generation => {
                let by = by.clone();
                let flight = Arc::new(make(by));
                let reserved = Some(*id);
                self.now = Current::Made { flight: flight.clone(), reserved };
                Some(flight)
            }
            _ => None,
        }
    }

    /// The flight, if there is one already.
    pub(crate) fn made(&self) -> Option<&Arc<F>> {
        if let Current::Made { flight, .. } = &self.now { Some(flight) } else { None }
    }

    /// A new flight takes the place.
    pub(crate) fn lead(&mut self, flight: Arc<F>) {
        self.detach();
        self.now = Current::Made { flight, reserved: None };
    }

    /// A new flight takes the place, to be made when somebody follows.
    pub(crate) fn lead_reserved(&mut self, id: u64, generation: u32, by: LedBy<&U>) {
        self.detach();
        self.now = Current::Reservation { id, generation, by: by.cloned() };
    }

    /// The load of a reserved flight goes on in `run`: whoever follows from now on finds it there. Whoever followed before
    /// has made the flight.
    pub(crate) fn go_on(&mut self, id: u64, run: U) -> Option<Arc<F>> {
        match &mut self.now {
            Current::Reservation { id: own, by, .. } if *own == id => {
                *by = LedBy::Run(run);
                None
            }
            Current::Made { flight, reserved } if *reserved == Some(id) => Some(flight.clone()),
            _ => self.orphan(id).as_ref().map(|orphan| orphan.flight.clone()),
        }
    }

    /// Later readers start their own.
    #[inline]
    pub(crate) fn detach(&mut self) {
        if !matches!(self.now, Current::Nothing) {
            self.detach_now();
        }
    }

    #[cold]
    fn detach_now(&mut self) {
        if let Current::Made { flight, reserved: Some(id) } = std::mem::replace(&mut self.now, Current::Nothing) {
            let next = self.orphans.take();
            self.orphans = Some(Box::new(Orphan { id, flight, next }));
        }
    }

    /// Whether it can be followed.
    pub(crate) fn is(&self, flight: &Arc<F>) -> bool {
        matches!(&self.now, Current::Made { flight: own, .. } if Arc::ptr_eq(own, flight))
    }

    /// [`detach`](Self::detach), only if `flight` is the one.
    pub(crate) fn detach_own(&mut self, own: impl FnOnce(&Arc<F>) -> bool) {
        if matches!(&self.now, Current::Made { flight, .. } if own(flight)) {
            self.detach();
        }
    }

    /// The leader of a reserved flight ends it; those who followed wait for the answer.
    pub(crate) fn end(&mut self, id: u64) -> Option<Arc<F>> {
        let is_now = match &self.now {
            Current::Reservation { id: own, .. } => *own == id,
            Current::Made { reserved, .. } => *reserved == Some(id),
            Current::Nothing => false,
        };
        if is_now {
            return match std::mem::replace(&mut self.now, Current::Nothing) {
                Current::Made { flight, .. } => Some(flight),
                _ => None,
            };
        }
        self.adopt(id)
    }

    /// The leader of a reserved flight makes it, or takes the one that a follower made. `true`: that one.
    pub(crate) fn make(&mut self, id: u64, make: impl FnOnce() -> F) -> (Arc<F>, bool) {
        match &mut self.now {
            Current::Made { flight, reserved } if *reserved == Some(id) => {
                *reserved = None;
                (flight.clone(), true)
            }
            Current::Reservation { id: own, .. } if *own == id => {
                let flight = Arc::new(make());
                self.now = Current::Made { flight: flight.clone(), reserved: None };
                (flight, false)
            }
            // Detached meanwhile.
            _ => match self.adopt(id) {
                Some(flight) => (flight, true),
                None => (Arc::new(make()), false),
            },
        }
    }

    /// The leader of a reserved flight gives up: it is left to those who followed.
    pub(crate) fn leave(&mut self, id: u64) -> Option<Arc<F>> {
        match &mut self.now {
            Current::Made { flight, reserved } if *reserved == Some(id) => {
                *reserved = None;
                Some(flight.clone())
            }
            Current::Reservation { id: own, .. } if *own == id => {
                self.now = Current::Nothing;
                None
            }
            _ => self.adopt(id),
        }
    }

    fn adopt(&mut self, id: u64) -> Option<Arc<F>> {
        let link = self.orphan(id);
        let orphan = link.take()?;
        *link = orphan.next;
        Some(orphan.flight)
    }

    /// The link to it, or the empty one at the end.
    fn orphan(&mut self, id: u64) -> &mut Option<Box<Orphan<F>>> {
        let mut link = &mut self.orphans;
        while link.as_ref().is_some_and(|orphan| orphan.id != id) {
            match link {
                Some(orphan) => link = &mut orphan.next,
                None => break,
            }
        }
        link
    }
}
