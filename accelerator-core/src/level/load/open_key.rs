//! The keys of a batch that are to be loaded, on their way from L2 to their end.

use std::sync::Arc;

use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::load::matching::Asking;
use crate::level::local::batch_run::BatchKey;
use crate::level::local::outcome::{End, FromSource};
use crate::level::local::registration::ReservedKey;
use crate::level::local::work::Limited;
use crate::level::remote::fill::Fill;
use crate::level::remote::permit::Permit;
use crate::level::source::not_loaded;
use crate::level::wire::moment::Dated;
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
        self.engine.local.with_lives_at(loaded, at).unless(self.held)
    }

    /// The answer of the same key that was asked for twice.
    pub(crate) fn like(&self, twin: &FromSource<V>) -> FromSource<V> {
        FromSource { value: twin.value.clone(), lives: twin.lives, at: twin.at }.unless(self.held)
    }

    /// What is to be written to L2.
    pub(crate) fn fill<'f>(&'f mut self, loaded: &'f FromSource<V>) -> Option<Fill<'f, K, V>> {
        let (reserved, permit) = (self.one.reserved.as_ref()?, self.permit.take()?);
        Some(Fill::of(&self.one.key, reserved.hash, reserved.token, permit, loaded))
    }

    pub(crate) fn end(self, end: End<V>) {
        let BatchKey { key, reserved, outcome, .. } = self.one;
        if let Some(ended) = ReservedKey::failing(&self.engine.local, key, reserved.take()).end(end) {
            *outcome = Some(ended);
        }
    }

    pub(crate) fn fail(mut self, error: CacheError) {
        let stale = self.stale.take();
        self.end(End::Failed { error, stale });
    }
}

/// A key that was loaded, and is not stored yet.
pub(crate) type Loading<'b, K, V> = (OpenKey<'b, K, V>, FromSource<V>);

/// The keys of one call of the batch loader.
pub(crate) struct OpenKeys<'b, K: Key, V: Value> {
    each: Vec<OpenState<'b, K, V>>,
    /// When the answer came.
    now: u64,
}

enum OpenState<'b, K: Key, V: Value> {
    Waits(OpenKey<'b, K, V>),
    Loaded(Loading<'b, K, V>),
    /// The answer leaves it out, and it has ended.
    Over,
}

impl<'b, K: Key, V: Value> OpenKeys<'b, K, V> {
    pub(crate) fn new(open: Vec<OpenKey<'b, K, V>>, now: u64) -> Self {
        Self { each: open.into_iter().map(OpenState::Waits).collect(), now }
    }

    /// Those that were loaded.
    pub(crate) fn loaded(self) -> Vec<Loading<'b, K, V>> {
        let loaded = |state| if let OpenState::Loaded(loaded) = state { Some(loaded) } else { None };
        self.each.into_iter().filter_map(loaded).collect()
    }

    fn take(&mut self, at: usize) -> Option<OpenKey<'b, K, V>> {
        let state = self.each.get_mut(at)?;
        match std::mem::replace(state, OpenState::Over) {
            OpenState::Waits(open) => Some(open),
            other => {
                *state = other;
                None
            }
        }
    }
}

impl<K: Key, V: Value> Asking<K, V> for OpenKeys<'_, K, V> {
    fn len(&self) -> usize {
        self.each.len()
    }

    fn key(&self, at: usize) -> Option<&K> {
        match &self.each[at] {
            OpenState::Waits(open) | OpenState::Loaded((open, _)) => Some(&open.one.key),
            OpenState::Over => None,
        }
    }

    fn hash(&self, at: usize) -> Option<u64> {
        match &self.each[at] {
            OpenState::Waits(open) => open.one.reserved.as_ref().map(|reserved| reserved.hash),
            OpenState::Loaded(_) | OpenState::Over => None,
        }
    }

    fn asks_for(&self, at: usize, key: &K) -> bool {
        matches!(self.each.get(at), Some(OpenState::Waits(open)) if open.one.key == *key)
    }

    fn answer(&mut self, at: usize, loaded: Loaded<V>) {
        if let Some(open) = self.take(at) {
            let loaded = open.with_lives(loaded, self.now);
            self.each[at] = OpenState::Loaded((open, loaded));
        }
    }

    fn left_out(&mut self, at: usize, twin: Option<usize>) {
        let Some(open) = self.take(at) else { return };
        match twin.map(|twin| &self.each[twin]) {
            Some(OpenState::Loaded((_, twin))) => {
                let loaded = open.like(twin);
                self.each[at] = OpenState::Loaded((open, loaded));
            }
            _ => open.fail(not_loaded()),
        }
    }
}
