//! What a store answered to a batch, as far as it has answered.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind, StoreResult};

/// The outcomes of a batch: a place per key, in the order of the batch, empty until the outcome has come.
///
/// The caller owns it and lends it to the store, which puts each outcome in as soon as it knows it. So a caller that
/// gives up in the middle keeps what has come. Each place is for the key at that position of the batch and no other.
///
/// ```
/// use accelerator_core::{Outcomes, StoreError, StoreErrorKind};
/// let mut outcomes = Outcomes::new(2);
/// outcomes.put(1, Ok("b"));
/// assert!(outcomes.is_missing(0) && !outcomes.is_missing(1));
/// let all = outcomes.into_vec(|| StoreError::new(StoreErrorKind::Timeout, "no answer in time"));
/// assert!(all[0].is_err());
/// assert_eq!(*all[1].as_ref().unwrap(), "b");
/// ```
pub struct Outcomes<T> {
    places: Vec<Option<StoreResult<T>>>,
    /// Of the key at a position, what its value is old at most; as long as what was told.
    ages: Vec<Option<Duration>>,
    /// Made when somebody looks.
    progress: Option<Progress>,
}

impl<T> Outcomes<T> {
    /// So many empty places.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { places: (0..keys).map(|_| None).collect(), ages: Vec::new(), progress: None }
    }

    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The outcome of the key at `position`. A later one of the same key replaces it; there is no place behind the last.
    pub fn put(&mut self, position: usize, outcome: StoreResult<T>) {
        if let Some(place) = self.places.get_mut(position) {
            *place = Some(outcome);
            if let Some(progress) = &self.progress {
                progress.0.came.fetch_add(1, Relaxed);
            }
        }
    }

    /// [`put`](Self::put) for a read of a value that was stored at most `age` ago, by the store's own clock. `None`: the
    /// store can't tell. See [`Limits::ages`](crate::Limits::ages).
    pub fn put_aged(&mut self, position: usize, outcome: StoreResult<T>, age: Option<Duration>) {
        if position < self.places.len() {
            self.note_age(position, age);
        }
        self.put(position, outcome);
    }

    fn note_age(&mut self, position: usize, age: Option<Duration>) {
        if self.ages.len() <= position && age.is_some() {
            self.ages.resize(self.places.len(), None);
        }
        if let Some(place) = self.ages.get_mut(position) {
            *place = age;
        }
    }

    /// What was told of the age of the value at `position`.
    #[must_use]
    pub fn age(&self, position: usize) -> Option<Duration> {
        self.ages.get(position).copied().flatten()
    }

    /// The outcomes of all keys, in their order. Of another number than there are places nothing is kept: nobody could
    /// say whose they are.
    pub fn put_all(&mut self, outcomes: Vec<StoreResult<T>>) {
        if outcomes.len() == self.places.len() {
            self.places = outcomes.into_iter().map(Some).collect();
            self.ages.clear();
        }
    }

    /// Whether nothing has come yet for the key at `position`.
    #[must_use]
    pub fn is_missing(&self, position: usize) -> bool {
        self.places.get(position).is_some_and(Option::is_none)
    }

    /// How many outcomes have not come yet.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.places.iter().filter(|place| place.is_none()).count()
    }

    /// Takes the outcome of the key at `position`, if it has come.
    pub fn take(&mut self, position: usize) -> Option<StoreResult<T>> {
        self.places.get_mut(position)?.take()
    }

    /// All outcomes, in their order; `missing` makes those that have not come.
    pub fn into_vec(self, mut missing: impl FnMut() -> StoreError) -> Vec<StoreResult<T>> {
        self.places.into_iter().map(|place| place.unwrap_or_else(|| Err(missing()))).collect()
    }

    /// The outcome of the key at `position`, if it has come.
    pub(crate) fn get(&self, position: usize) -> Option<&StoreResult<T>> {
        self.places.get(position)?.as_ref()
    }

    /// [`into_vec`](Self::into_vec) for a call that has ended: what is missing then was never answered.
    #[must_use]
    pub fn ended(self) -> Vec<StoreResult<T>> {
        self.into_vec(|| StoreError::new(StoreErrorKind::Protocol, "a batch was not answered in full"))
    }

    /// `bytes` counts what the server sends, also before it is a whole answer. The engine waits longer for a batch of
    /// reads while this grows. Give one that stands still when the server of this batch does.
    pub fn count_bytes(&mut self, bytes: &Arc<AtomicU64>) {
        if let Some(progress) = &self.progress {
            // The first one stays.
            let _ = progress.0.bytes.set(Arc::clone(bytes));
        }
    }

    /// How many outcomes have not come yet; `count` gets each error that has.
    pub(crate) fn missing_but(&self, mut count: impl FnMut(&StoreError)) -> usize {
        let mut missing = 0;
        for place in &self.places {
            match place {
                None => missing += 1,
                Some(Err(error)) => count(error),
                Some(Ok(_)) => {}
            }
        }
        missing
    }

    /// To look at from outside while a store has the outcomes.
    pub(crate) fn progress(&mut self) -> Progress {
        self.progress.get_or_insert_default().clone()
    }
}

impl<T> fmt::Debug for Outcomes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("len", &self.len()).field("missing", &self.missing()).finish()
    }
}

/// How far a batch has come.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Moved>);

#[derive(Default)]
struct Moved {
    came: AtomicU64,
    bytes: OnceLock<Arc<AtomicU64>>,
}

impl Progress {
    /// Another number than before: something has come.
    pub(crate) fn number(&self) -> u64 {
        let bytes = self.0.bytes.get().map_or(0, |bytes| bytes.load(Relaxed));
        self.0.came.load(Relaxed).wrapping_add(bytes)
    }
}
