//! The joinable flight of a key, which is made only when somebody follows it.
//!
//! A load that is ready at once ends before anybody could wait for it: its leader needs a registration, and no flight.

use std::sync::Arc;

use crate::level::slots::Token;

/// A flight that its leader has not made: what it needs to find its slot, and whoever followed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latent {
    pub(crate) hash: u64,
    pub(crate) token: Token,
    /// Never used twice in a shard.
    pub(crate) id: u64,
}

/// Who makes a latent flight progress.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<U> {
    /// Its leader, who polls the load right now.
    Leader,
    /// A run, whose leader polls the loads of many keys, or a task.
    Run(U),
    /// Whoever holds the ticket.
    Ticket,
}

impl<U: Clone> By<&U> {
    fn cloned(self) -> By<U> {
        match self {
            Self::Leader => By::Leader,
            Self::Run(run) => By::Run(run.clone()),
            Self::Ticket => By::Ticket,
        }
    }
}

/// What a slot knows of the flights `F` of its key. `U`: a run that the loads of many keys share.
pub(crate) struct Joinable<F, U> {
    now: Now<F, U>,
    // Detached while their leaders did not know of them yet; empty but for moments.
    orphans: Option<Box<Orphan<F>>>,
}

/// Thin, as a slot is moved around with it.
struct Orphan<F> {
    id: u64,
    flight: Arc<F>,
    next: Option<Box<Self>>,
}

enum Now<F, U> {
    Nothing,
    /// Led; nobody has followed.
    Latent {
        id: u64,
        generation: u32,
        by: By<U>,
    },
    /// `latent`: its leader doesn't know of it yet.
    Made {
        flight: Arc<F>,
        latent: Option<u64>,
    },
}

impl<F, U: Clone> Joinable<F, U> {
    pub(crate) fn nothing() -> Self {
        Self { now: Now::Nothing, orphans: None }
    }

    /// The flight of `generation` to follow; a latent one is made now.
    pub(crate) fn follow(
        &mut self,
        generation_of: impl FnOnce(&F) -> u32,
        generation: u32,
        make: impl FnOnce(By<U>) -> F,
    ) -> Option<Arc<F>> {
        match &self.now {
            Now::Made { flight, .. } => (generation_of(flight) == generation).then(|| flight.clone()),
            Now::Latent { id, generation: own, by } if *own == generation => {
                let by = by.clone();
                let flight = Arc::new(make(by));
                let latent = Some(*id);
                self.now = Now::Made { flight: flight.clone(), latent };
                Some(flight)
            }
            _ => None,
        }
    }

    /// The flight, if there is one already.
    pub(crate) fn made(&self) -> Option<&Arc<F>> {
        if let Now::Made { flight, .. } = &self.now { Some(flight) } else { None }
    }

    /// A new flight takes the place.
    pub(crate) fn lead(&mut self, flight: Arc<F>) {
        self.detach();
        self.now = Now::Made { flight, latent: None };
    }

    /// A new flight takes the place, to be made when somebody follows.
    pub(crate) fn lead_latent(&mut self, id: u64, generation: u32, by: By<&U>) {
        self.detach();
        self.now = Now::Latent { id, generation, by: by.cloned() };
    }

    /// The load of a latent flight goes on in `run`: whoever follows from now on finds it there. Whoever followed before
    /// has made the flight.
    pub(crate) fn go_on(&mut self, id: u64, run: U) -> Option<Arc<F>> {
        match &mut self.now {
            Now::Latent { id: own, by, .. } if *own == id => {
                *by = By::Run(run);
                None
            }
            Now::Made { flight, latent } if *latent == Some(id) => Some(flight.clone()),
            _ => self.orphan(id).as_ref().map(|orphan| orphan.flight.clone()),
        }
    }

    /// Later readers start their own.
    #[inline]
    pub(crate) fn detach(&mut self) {
        if !matches!(self.now, Now::Nothing) {
            self.detach_now();
        }
    }

    #[cold]
    fn detach_now(&mut self) {
        if let Now::Made { flight, latent: Some(id) } = std::mem::replace(&mut self.now, Now::Nothing) {
            let next = self.orphans.take();
            self.orphans = Some(Box::new(Orphan { id, flight, next }));
        }
    }

    /// Whether it can be followed.
    pub(crate) fn is(&self, flight: &Arc<F>) -> bool {
        matches!(&self.now, Now::Made { flight: own, .. } if Arc::ptr_eq(own, flight))
    }

    /// [`detach`](Self::detach), only if `flight` is the one.
    pub(crate) fn detach_own(&mut self, own: impl FnOnce(&Arc<F>) -> bool) {
        if matches!(&self.now, Now::Made { flight, .. } if own(flight)) {
            self.detach();
        }
    }

    /// The leader of a latent flight ends it; those who followed wait for the answer.
    pub(crate) fn end(&mut self, id: u64) -> Option<Arc<F>> {
        let is_now = match &self.now {
            Now::Latent { id: own, .. } => *own == id,
            Now::Made { latent, .. } => *latent == Some(id),
            Now::Nothing => false,
        };
        if is_now {
            return match std::mem::replace(&mut self.now, Now::Nothing) {
                Now::Made { flight, .. } => Some(flight),
                _ => None,
            };
        }
        self.adopt(id)
    }

    /// The leader of a latent flight makes it, or takes the one that a follower made. `true`: that one.
    pub(crate) fn make(&mut self, id: u64, make: impl FnOnce() -> F) -> (Arc<F>, bool) {
        match &mut self.now {
            Now::Made { flight, latent } if *latent == Some(id) => {
                *latent = None;
                (flight.clone(), true)
            }
            Now::Latent { id: own, .. } if *own == id => {
                let flight = Arc::new(make());
                self.now = Now::Made { flight: flight.clone(), latent: None };
                (flight, false)
            }
            // Detached meanwhile.
            _ => match self.adopt(id) {
                Some(flight) => (flight, true),
                None => (Arc::new(make()), false),
            },
        }
    }

    /// The leader of a latent flight gives up: it is left to those who followed.
    pub(crate) fn leave(&mut self, id: u64) -> Option<Arc<F>> {
        match &mut self.now {
            Now::Made { flight, latent } if *latent == Some(id) => {
                *latent = None;
                Some(flight.clone())
            }
            Now::Latent { id: own, .. } if *own == id => {
                self.now = Now::Nothing;
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
