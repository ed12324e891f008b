//! What the runs over a type have found out, and what the next one tries.

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::codecs::shape::Format;

/// So deep are types followed.
const DEPTH: usize = 100;
/// Slots of one type that are kept apart; the elements of a longer array share the last one.
const SLOTS: usize = 1_024;
/// So often a slot is tried, each time with other made-up values.
const TRIES: usize = 14;
/// Requests of all runs together, at most.
const STEPS: usize = 1_000_000;

/// This run ends here. Why is in the notes.
#[derive(Debug)]
pub(crate) struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is here but a question about the type")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// What a slot was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Leaf(&'static str),
    Type(usize),
}

/// A field, an element, the inside of an option, a variant.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) label: &'static str,
    /// Mostly one; more where a tag decides.
    pub(crate) kinds: Vec<Kind>,
    tries: usize,
    /// No made-up value is good enough.
    pub(crate) dead: bool,
    /// Everything inside is known.
    pub(crate) done: bool,
}

/// Something with slots.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) slots: Vec<Slot>,
}

/// Types are told apart by the names of what visits them. These are never part of a description.
type Key = (&'static str, &'static str, &'static str, usize);

#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) format: Format,
    /// In the order in which they were met; the first holds `V` in its one slot.
    pub(crate) types: Vec<Type>,
    known: HashMap<Key, usize>,
    /// Where this run is.
    trail: Vec<(usize, usize)>,
    tries: usize,
    steps: usize,
    /// This run failed, and the next one will do something else.
    pub(crate) changed: bool,
    /// This run found something new.
    progress: bool,
    /// There is more to be found where this run was.
    pub(crate) more: bool,
    /// The failure is final: other values won't help.
    pub(crate) hopeless: bool,
    last: bool,
    /// Where the type asked for bytes that describe themselves.
    pub(crate) undescribed: Option<String>,
}

impl Notes {
    pub(crate) const ROOT: usize = 0;

    pub(crate) fn new(format: Format) -> Self {
        let root = Type { kind: "root", name: "", slots: vec![Slot::default()] };
        Self {
            format,
            types: vec![root],
            known: HashMap::new(),
            trail: Vec::new(),
            tries: 0,
            steps: 0,
            changed: false,
            progress: false,
            more: false,
            hopeless: false,
            last: false,
            undescribed: None,
        }
    }

    pub(crate) fn begin_run(&mut self) {
        self.trail.clear();
        self.tries = 0;
        (self.changed, self.progress, self.more, self.hopeless) = (false, false, false, false);
    }

    /// Whether there should be another run. The last one gives everything its shortest value.
    pub(crate) fn goes_on(&mut self) -> bool {
        let news = (self.changed || self.more && self.progress) && self.steps < STEPS;
        let again = news || !self.last;
        self.last = !news;
        again
    }

    /// Which of its made-up values a leaf answers with.
    pub(crate) fn choose<T: Copy>(&self, values: &[T], first: T) -> T {
        values.get(self.tries.min(values.len().saturating_sub(1))).copied().unwrap_or(first)
    }

    /// Writes down what the current slot holds.
    pub(crate) fn note(&mut self, kind: Kind) {
        self.steps += 1;
        let Some(&(at, slot)) = self.trail.last() else { return };
        let kinds = &mut self.types[at].slots[slot].kinds;
        if !kinds.contains(&kind) {
            kinds.push(kind);
            self.progress = true;
        }
    }

    /// The type whose visitor is `Vis`, in the current slot. `labels` are those of its slots.
    pub(crate) fn meet<Vis>(
        &mut self,
        kind: &'static str,
        name: &'static str,
        number: usize,
        labels: impl Iterator<Item = &'static str>,
    ) -> usize {
        let key = (type_name::<Vis>(), kind, name, number);
        let next = self.types.len();
        let at = *self.known.entry(key).or_insert(next);
        if at == next {
            let slots = labels.take(SLOTS).map(|label| Slot { label, ..Slot::default() }).collect();
            self.types.push(Type { kind, name, slots });
        }
        self.note(Kind::Type(at));
        at
    }

    /// Where the type asks for what only bytes can say that describe themselves.
    pub(crate) fn asks_for_description(&mut self, what: &'static str) {
        self.note(Kind::Leaf(what));
        if self.undescribed.is_none() {
            let named = self.trail.iter().rev().find(|(at, _)| !self.types[*at].name.is_empty());
            let place = named.map(|(at, slot)| {
                let (holder, label) = (&self.types[*at], self.types[*at].slots[*slot].label);
                if label.is_empty() { holder.name.to_owned() } else { format!("{}.{label}", holder.name) }
            });
            self.undescribed = Some(place.unwrap_or_else(|| "its root".to_owned()));
        }
    }

    /// Whether this run is within that type already.
    pub(crate) fn is_open(&self, at: usize) -> bool {
        self.trail.iter().any(|(open, _)| *open == at)
    }

    /// Whether an option, a sequence or a map is left empty this time: all inside is known, or nothing can be, or it
    /// would go on without an end.
    pub(crate) fn is_enough(&self, at: usize) -> bool {
        let slots = &self.types[at].slots;
        // Some take no empty one.
        let known = self.tries == 0 && slots.iter().all(|slot| slot.done);
        known || slots.iter().any(|slot| slot.dead) || self.is_open(at)
    }

    fn is_wanted(&self, at: usize, variant: usize) -> bool {
        let slot = &self.types[at].slots[variant];
        !slot.done && !slot.dead && !self.trail.contains(&(at, variant))
    }

    /// The variant to take: one that isn't known, or else the first that works.
    pub(crate) fn next_variant(&mut self, at: usize) -> Option<usize> {
        let slots = &self.types[at].slots;
        let wanted = (0..slots.len()).find(|variant| self.is_wanted(at, *variant));
        let variant = wanted.or_else(|| slots.iter().position(|slot| slot.done && !slot.dead));
        self.hopeless |= variant.is_none();
        variant
    }

    pub(crate) fn has_more_variants(&self, at: usize) -> bool {
        (0..self.types[at].slots.len()).any(|variant| self.is_wanted(at, variant))
    }

    /// Follows one slot. Where it fails, the next run tries it with other values, or knows that none will do.
    pub(crate) fn slot<T>(
        &mut self,
        at: usize,
        slot: usize,
        follow: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let Some(last) = self.types[at].slots.len().checked_sub(1) else { return follow(self) };
        let slot = slot.min(last);
        let (here, depth, outer) = (&self.types[at].slots[slot], self.trail.len(), self.tries);
        if here.dead || depth >= DEPTH || self.steps >= STEPS {
            self.hopeless = true;
            return Err(Stop);
        }
        self.tries = if here.tries > 0 { here.tries } else { outer };
        let more = std::mem::take(&mut self.more);
        self.trail.push((at, slot));
        // Code of the type may panic on values that make no sense to it.
        let got = catch_unwind(AssertUnwindSafe(|| follow(self))).unwrap_or(Err(Stop));
        self.trail.truncate(depth);
        self.tries = outer;
        let here = &mut self.types[at].slots[slot];
        if got.is_ok() && !self.more && !self.changed {
            self.progress |= !std::mem::replace(&mut here.done, true);
        }
        if got.is_err() && !self.changed {
            here.tries += 1;
            here.dead = self.hopeless || here.tries >= TRIES;
            (self.hopeless, self.changed) = (false, true);
        }
        self.more |= more;
        got
    }
}
