//! What a node knows of its bus, and what it says of it in the log.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{BusHealth, LastGap};
use crate::level::bus::origins::Origins;
use crate::level::stats::bus_figures::{BusFigures, Gap};

/// A node that does not hear itself for so long after it began, or after it said something, is told of.
pub(crate) const ECHO_WITHIN: Duration = Duration::from_secs(5);
/// A cause of gaps is told so often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The state of the listening task.
#[derive(Default)]
pub(crate) struct Health {
    /// Whose events count: the newest task's.
    pub(crate) number: u64,
    pub(crate) origins: Option<Origins>,
    up_since: Option<Instant>,
    /// When it began to listen, for the first time.
    began: Option<Instant>,
    last_gap: Option<(Gap, Instant)>,
    /// A message of its own came back since the bus listens.
    heard: bool,
    /// Its own, that has not come back.
    waits_since: Option<Instant>,
    told_deaf: bool,
    told: [Option<Instant>; Gap::ALL.len()],
}

impl Health {
    /// A task begins to listen.
    pub(crate) fn begin(&mut self, number: u64, now: Instant) {
        self.number = number;
        self.began.get_or_insert(now);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    /// The bus listens.
    pub(crate) fn listens(&mut self, now: Instant) {
        self.up_since = Some(now);
        self.origins = Some(Origins::new(now));
        (self.heard, self.waits_since) = (false, None);
    }

    /// The bus does not.
    pub(crate) fn is_cut(&mut self) {
        (self.up_since, self.origins, self.heard, self.waits_since) = (None, None, false, None);
    }

    /// Messages may have been lost. `true`: it is time to say so in the log.
    pub(crate) fn gap(&mut self, gap: Gap, now: Instant) -> bool {
        self.last_gap = Some((gap, now));
        let told = &mut self.told[gap as usize];
        let due = told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }

    /// A message of this node was handed to the bus.
    pub(crate) fn said(&mut self, now: Instant) {
        self.waits_since.get_or_insert(now);
    }

    /// One came back.
    pub(crate) fn heard_itself(&mut self) {
        (self.heard, self.waits_since) = (true, None);
    }

    pub(crate) fn hears_itself(&self, now: Instant) -> bool {
        let waits_long = |since: Instant| now.duration_since(since) > ECHO_WITHIN;
        self.is_up() && self.heard && !self.waits_since.is_some_and(waits_long)
    }

    /// `true`, once: it has had time to hear itself, and has not.
    pub(crate) fn is_deaf(&mut self, now: Instant) -> bool {
        let had_time = self.began.is_some_and(|began| now.duration_since(began) >= ECHO_WITHIN);
        let deaf = had_time && !self.heard && !self.told_deaf;
        self.told_deaf |= had_time;
        deaf
    }

    /// When that can be said.
    pub(crate) fn deaf_at(&self) -> Option<Instant> {
        self.began.filter(|_| !self.told_deaf)?.checked_add(ECHO_WITHIN)
    }
}

impl Health {
    /// What is said of it; the rest by others.
    pub(crate) fn say(&self, figures: &BusFigures, unpublished: usize, now: Instant) -> BusHealth {
        BusHealth {
            state: figures.state(),
            up_for: self.up_since.map(|since| now.duration_since(since)),
            hears_itself: self.hears_itself(now),
            last_gap: self.last_gap.map(|(gap, at)| LastGap { cause: gap.as_str(), ago: now.duration_since(at) }),
            echo: figures.own.delays(),
            delivery: figures.others.delays(),
            unpublished,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_cause_is_told_once_a_minute() {
        let (mut health, start) = (Health::default(), Instant::now());
        let told: Vec<_> = [0, 1, 59, 60, 61, 120].map(|at| health.gap(Gap::Skipped, start + secs(at))).into();
        assert_eq!(told, [true, false, false, true, false, true]);
        assert!(health.gap(Gap::Refused, start + secs(121)));
    }

    #[test]
    fn who_does_not_hear_itself_is_told_of_once() {
        let (mut health, start) = (Health::default(), Instant::now());
        health.begin(1, start);
        assert_eq!(health.deaf_at(), Some(start + secs(5)));
        assert!(!health.is_deaf(start + secs(4)));
        assert!(health.is_deaf(start + secs(5)));
        assert!(!health.is_deaf(start + secs(6)) && health.deaf_at().is_none());
    }

    #[test]
    fn it_hears_itself_while_its_messages_come_back() {
        let (mut health, start) = (Health::default(), Instant::now());
        health.begin(1, start);
        health.listens(start);
        assert!(!health.hears_itself(start));
        health.said(start);
        health.heard_itself();
        assert!(health.hears_itself(start + secs(60)));
        health.said(start + secs(60));
        health.said(start + secs(64));
        assert!(health.hears_itself(start + secs(65)) && !health.hears_itself(start + secs(66)));
        health.heard_itself();
        assert!(health.hears_itself(start + secs(66)));
        health.is_cut();
        assert!(!health.hears_itself(start + secs(66)));
    }
}
