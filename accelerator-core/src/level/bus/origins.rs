//! Which messages of which cache were heard: a number that skips one is a message that was lost.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

/// Caches that are known at once.
const MOST: usize = 10_000;
/// A cache that says nothing for so long is forgotten; it says hello more often than that.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Who listens for so long has heard a hello of every cache.
const HEARD_ALL_AFTER: Duration = Duration::from_secs(30);

/// Why a message shows that others were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its number skips some.
    Skipped,
    /// A hello names a message that was not heard.
    Trailing,
    /// It is the first of its cache that was heard, though not the first that was sent.
    Unheard,
}

/// The last number of each cache, since the bus listens.
#[derive(Clone)]
pub(crate) struct Origins {
    since: Instant,
    last: HashMap<u64, Heard, RandomState>,
    /// A cache had said something before it was heard first: before the bus listened, or since.
    unsure: bool,
}

#[derive(Clone)]
struct Heard {
    number: u64,
    at: Instant,
}

impl Origins {
    pub(crate) fn new(since: Instant) -> Self {
        Self { since, last: HashMap::default(), unsure: false }
    }

    /// A message with this number was heard. `hello`: it says that this was the last number.
    pub(crate) fn hear(&mut self, origin: u64, number: u64, hello: bool, now: Instant) -> Option<Lost> {
        // The next message that is not a hello.
        let next = if hello { number.saturating_add(1) } else { number };
        let known = self.last.get_mut(&origin).filter(|heard| now.duration_since(heard.at) < FORGOTTEN_AFTER);
        if let Some(heard) = known {
            let lost = next > heard.number.saturating_add(1);
            *heard = Heard { number: heard.number.max(number), at: now };
            return lost.then_some(if hello { Lost::Trailing } else { Lost::Skipped });
        }
        if self.last.len() >= MOST {
            self.make_room(now);
        }
        self.last.insert(origin, Heard { number, at: now });
        let listens_long = self.listens_long(now);
        self.unsure |= next > 1 && !listens_long;
        (listens_long && next > 1).then_some(Lost::Unheard)
    }

    fn listens_long(&self, now: Instant) -> bool {
        now.duration_since(self.since) > HEARD_ALL_AFTER
    }

    /// `true`, once: all have been heard by now, and what some of them said before that may have been lost.
    pub(crate) fn may_have_missed(&mut self, now: Instant) -> bool {
        self.listens_long(now) && std::mem::take(&mut self.unsure)
    }

    /// Forgets those that are forgotten, or else those that were silent longest. What such a cache says next is taken for
    /// a loss.
    fn make_room(&mut self, now: Instant) {
        self.last.retain(|_, heard| now.duration_since(heard.at) < FORGOTTEN_AFTER);
        if self.last.len() >= MOST {
            let mut times: Vec<_> = self.last.values().map(|heard| heard.at).collect();
            let (_, oldest, _) = times.select_nth_unstable(MOST / 8);
            let oldest = *oldest;
            self.last.retain(|_, heard| heard.at > oldest);
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
    fn a_number_that_skips_is_a_loss_and_one_that_comes_again_is_none() {
        let start = Instant::now();
        let mut origins = Origins::new(start);
        let mut hear = |number, hello| origins.hear(7, number, hello, start);
        assert_eq!(hear(1, false), None);
        assert_eq!(hear(2, false), None);
        assert_eq!(hear(2, false), None, "twice");
        assert_eq!(hear(1, false), None, "late");
        assert_eq!(hear(4, false), Some(Lost::Skipped));
        assert_eq!(hear(4, true), None);
        assert_eq!(hear(3, true), None, "a late hello");
        assert_eq!(hear(5, true), Some(Lost::Trailing));
        assert_eq!(hear(5, true), None, "it is known");
        assert_eq!(hear(6, false), None);
        assert_eq!(hear(u64::MAX, false), Some(Lost::Skipped));
        assert_eq!(hear(u64::MAX, true), None);
    }

    #[test]
    fn who_listens_for_long_has_heard_of_all() {
        let start = Instant::now();
        let mut origins = Origins::new(start);
        assert_eq!(origins.hear(1, 90, false, start + secs(30)), None, "it may have begun before");
        assert!(!origins.may_have_missed(start + secs(30)), "others may be heard yet");
        let late = start + secs(31);
        assert!(origins.may_have_missed(late) && !origins.may_have_missed(late), "for all of them at once");
        assert_eq!(origins.hear(2, 1, false, late), None, "its first");
        assert_eq!(origins.hear(3, 0, true, late), None, "it has sent nothing");
        assert_eq!(origins.hear(4, 2, false, late), Some(Lost::Unheard));
        assert_eq!(origins.hear(5, 1, true, late), Some(Lost::Unheard));
        assert!(!origins.may_have_missed(late));
        // One who was silent for longer than hellos allow.
        assert_eq!(origins.hear(2, 2, false, late + secs(299)), None);
        assert_eq!(origins.hear(2, 2, true, late + secs(299) + secs(300)), Some(Lost::Unheard));
    }

    #[test]
    fn no_more_than_so_many_are_known_and_those_heard_last_stay() {
        let start = Instant::now();
        let mut origins = Origins::new(start);
        for n in 0..MOST as u64 * 2 {
            origins.hear(n, 1, false, start + Duration::from_millis(n));
            assert!(origins.last.len() <= MOST);
        }
        let now = start + secs(20);
        assert_eq!(origins.hear(MOST as u64 * 2 - 1, 2, false, now), None);
        // All at one time: none is older than the others.
        let mut origins = Origins::new(start);
        for n in 0..=MOST as u64 {
            origins.hear(n, 1, false, start);
        }
        assert!(origins.last.len() <= MOST);
    }
}
