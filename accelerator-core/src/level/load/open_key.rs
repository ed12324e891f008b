//! A key of a batch that is to be loaded, on its way from L2 to its end.

use std::sync::Arc;

use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::local::batch_run::BatchKey;
use crate::level::local::commit::{Ending, LedKey};
use crate::level::local::outcome::{Dated, End, FromSource};
use crate::level::local::work::Limited;
use crate::level::remote::fill::Fill;
use crate::level::remote::permit::Permit;
use crate::traits::loader::Loaded;

/// A call of the batch loader.
pub(crate) type BatchLoad<K, V> = Limited<Vec<(K, Loaded<V>)>>;

/// A key that L2 could not answer, with what it said.
pub(crate) struct OpenKey<'b, K: Key, V: Value> {
    pub(crate) engine: &'b Arc<Engine<K, V>>,
    pub(crate) one: &'b mut BatchKey<K, V>,
    pub(crate) permit: Option<Permit<K, V>>,
    /// A writer holds the key: what is loaded goes into neither level.
    pub(crate) held: bool,
    pub(crate) stale: Option<Dated<V>>,
}

impl<'b, K: Key, V: Value> OpenKey<'b, K, V> {
    pub(crate) fn new(engine: &'b Arc<Engine<K, V>>, one: &'b mut BatchKey<K, V>) -> Self {
        Self { engine, one, permit: None, held: false, stale: None }
    }

    /// What the source answered, and until when it may be cached.
    pub(crate) fn with_lives(&self, loaded: Loaded<V>, at: u64) -> FromSource<V> {
        let mut loaded = self.engine.local.with_lives_at(loaded, at);
        if self.held {
            loaded.lives = None;
        }
        loaded
    }

    /// What is to be written to L2.
    pub(crate) fn fill<'f>(&'f mut self, loaded: &'f FromSource<V>) -> Option<Fill<'f, K, V>> {
        let (reserved, permit) = (self.one.reserved.as_ref()?, self.permit.take()?);
        Some(Fill::of(&self.one.key, reserved.hash, reserved.token, permit, loaded))
    }

    pub(crate) fn end(self, end: End<V>) {
        if let Some(reserved) = self.one.reserved.take() {
            self.one.outcome =
                Some(Ending::new(&self.engine.local, LedKey::Reservation(&self.one.key, reserved)).end(end));
        }
    }

    pub(crate) fn fail(mut self, error: CacheError) {
        let stale = self.stale.take();
        self.end(End::Failed { error, stale });
    }
}

/// A key that was loaded, and is not stored yet.
pub(crate) type Loading<'b, K, V> = (OpenKey<'b, K, V>, FromSource<V>);
