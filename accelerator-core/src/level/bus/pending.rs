//! Keys that are to be told: in order, each once, and no more than there is room for.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::level::bus::message::Room;
use crate::level::time::policy::RECOVERY_OVERHEAD;

/// A clear of the whole area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clear {
    /// In place of keys that found no room, or that can't be told.
    L1,
    /// As a caller asked for.
    AlsoL2,
}

/// What is to be told. A clear takes the place of all keys.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    clear: Option<Clear>,
    keys: Vec<Arc<str>>,
    known: HashSet<Arc<str>, RandomState>,
    bytes: usize,
    /// The most that the keys may weigh.
    most: usize,
}

/// What one call has to tell.
pub(crate) enum News {
    Keys(Vec<Arc<str>>),
    Clear(Clear),
}

impl Pending {
    pub(crate) fn new(most: usize) -> Self {
        Self { clear: None, keys: Vec::new(), known: HashSet::default(), bytes: 0, most }
    }

    pub(crate) fn add(&mut self, news: News, room: Room) {
        match news {
            News::Clear(clear) => self.clear(clear),
            News::Keys(keys) => keys.into_iter().for_each(|key| self.add_key(key, room)),
        }
    }

    fn add_key(&mut self, key: Arc<str>, room: Room) {
        if self.clear.is_some() || self.known.contains(&key) {
            return;
        }
        let weight = key.len() + RECOVERY_OVERHEAD;
        if !room.takes(&key) || self.bytes + weight > self.most {
            return self.clear(Clear::L1);
        }
        self.bytes += weight;
        self.known.insert(key.clone());
        self.keys.push(key);
    }

    /// Clears the area in place of all keys.
    pub(crate) fn clear(&mut self, clear: Clear) {
        *self = Self { clear: self.clear.max(Some(clear)), ..Self::new(self.most) };
    }

    /// What others had to tell comes first.
    pub(crate) fn put_before(&mut self, before: &mut Self, room: Room) {
        let after = std::mem::replace(self, before.take());
        self.add_all(after, room);
    }

    /// All that another had to tell.
    pub(crate) fn add_all(&mut self, other: Self, room: Room) {
        self.add(other.clear.map_or(News::Keys(other.keys), News::Clear), room);
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Self {
        let most = self.most;
        std::mem::replace(self, Self::new(most))
    }

    /// What goes into the next message.
    pub(crate) fn next(&self, room: Room) -> Option<Next<'_>> {
        match self.clear {
            Some(clear) => Some(Next::Clear(clear)),
            None if self.keys.is_empty() => None,
            None => Some(Next::Keys(&self.keys[..room.first(&self.keys)])),
        }
    }

    /// That message was taken.
    pub(crate) fn told(&mut self, room: Room) {
        if self.clear.take().is_none() && !self.keys.is_empty() {
            let n = room.first(&self.keys);
            for key in self.keys.drain(..n) {
                self.known.remove(&key);
                self.bytes -= key.len() + RECOVERY_OVERHEAD;
            }
        }
    }

    /// Keys, or 1 for a clear.
    pub(crate) fn len(&self) -> usize {
        if self.clear.is_some() { 1 } else { self.keys.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one message has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    Keys(&'a [Arc<str>]),
    Clear(Clear),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[&str]) -> News {
        News::Keys(all.iter().map(|&key| key.into()).collect())
    }

    fn told(pending: &mut Pending, room: Room) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(next) = pending.next(room) {
            out.push(match next {
                Next::Keys(keys) => keys.join(","),
                Next::Clear(clear) => format!("{clear:?}"),
            });
            pending.told(room);
        }
        assert!(pending.is_empty() && pending.bytes == 0 && pending.known.is_empty());
        out
    }

    #[test]
    fn keys_are_told_in_order_and_once() {
        let room = Room::new(1024, "a");
        let mut pending = Pending::new(1 << 20);
        pending.add(keys(&["b", "a", "b"]), room);
        pending.add(keys(&["a", "c"]), room);
        assert_eq!(pending.len(), 3);
        assert_eq!(told(&mut pending, room), ["b,a,c"]);
        pending.add(keys(&["b"]), room);
        assert_eq!(told(&mut pending, room), ["b"], "it may be told again");
    }

    #[test]
    fn many_keys_are_many_messages() {
        let room = Room::new(1024, "a");
        let mut pending = Pending::new(1 << 20);
        let all: Vec<String> = (0..100).map(|n| format!("{n:0>98}")).collect();
        pending.add(keys(&all.iter().map(String::as_str).collect::<Vec<_>>()), room);
        let messages = told(&mut pending, room);
        assert_eq!((messages.len(), messages.join(",")), (12, all.join(",")));
    }

    #[test]
    fn a_clear_takes_the_place_of_what_finds_no_room() {
        let room = Room::new(1024, "a");
        let mut pending = Pending::new(3 * (1 + RECOVERY_OVERHEAD));
        pending.add(keys(&["1", "2", "3", "1"]), room);
        assert_eq!(pending.len(), 3);
        pending.add(keys(&["4"]), room);
        pending.add(keys(&["5"]), room);
        assert_eq!(told(&mut pending, room), ["L1"]);
        pending.add(keys(&[&"k".repeat(2000)]), room);
        assert_eq!(told(&mut pending, room), ["L1"], "larger than a message");
        pending.add(News::Clear(Clear::AlsoL2), room);
        pending.add(News::Clear(Clear::L1), room);
        assert_eq!(told(&mut pending, room), ["AlsoL2"]);
    }

    #[test]
    fn what_was_not_told_comes_first() {
        let room = Room::new(1024, "a");
        let (mut one, mut two) = (Pending::new(1 << 20), Pending::new(1 << 20));
        one.add(keys(&["1", "2"]), room);
        two.add(keys(&["3", "1"]), room);
        two.put_before(&mut one, room);
        assert!(one.is_empty());
        assert_eq!(told(&mut two, room), ["1,2,3"]);
        one.add(News::Clear(Clear::L1), room);
        two.add(keys(&["3"]), room);
        two.put_before(&mut one, room);
        assert_eq!(told(&mut two, room), ["L1"]);
    }
}
