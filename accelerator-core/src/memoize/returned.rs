//! The return types of cached functions.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use crate::cache::Lookup;
use crate::error::CacheError;

/// What a body found, seen through its return type.
#[derive(Debug)]
pub enum Found<'a, V> {
    /// A value.
    Value(&'a V),
    /// There is none.
    Absent,
    /// The body failed.
    Failed,
}

/// What a cached read over values `V` may return: `Result<Option<V>, E>`, `Option<V>`, `Result<V, E>` or `V`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a cached read of `{V}` can return",
    label = "the cache holds `{V}`",
    note = "return `Result<Option<V>, E>`, `Option<V>`, or, where there always is a value, `Result<V, E>` or `V`, with the \
            `V` that the cache holds"
)]
pub trait Returned<V>: Sized {
    /// What the cache has, as an answer. `None`: this type can't say "absent".
    fn from_cached(value: Option<V>) -> Option<Self>;
    /// What the body found.
    fn found(&self) -> Found<'_, V>;
}

impl<V, E> Returned<V> for Result<Option<V>, E> {
    #[inline]
    fn from_cached(value: Option<V>) -> Option<Self> {
        Some(Ok(value))
    }
    fn found(&self) -> Found<'_, V> {
        self.as_ref().map_or(Found::Failed, |value| value.as_ref().map_or(Found::Absent, Found::Value))
    }
}

impl<V> Returned<V> for Option<V> {
    #[inline]
    fn from_cached(value: Option<V>) -> Option<Self> {
        Some(value)
    }
    fn found(&self) -> Found<'_, V> {
        self.as_ref().map_or(Found::Absent, Found::Value)
    }
}

impl<V, E> Returned<V> for Result<V, E> {
    #[inline]
    fn from_cached(value: Option<V>) -> Option<Self> {
        value.map(Ok)
    }
    fn found(&self) -> Found<'_, V> {
        self.as_ref().map_or(Found::Failed, Found::Value)
    }
}

impl<V> Returned<V> for V {
    #[inline]
    fn from_cached(value: Option<V>) -> Option<Self> {
        value
    }
    fn found(&self) -> Found<'_, V> {
        Found::Value(self)
    }
}

/// What a cached batch read may return: a map from `K` to `Option<V>` (`HashMap` with any hasher, or `BTreeMap`), or a
/// `Result` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a cached batch read of `{V}` by `{K}` can return",
    label = "the cache holds `{V}` by `{K}`",
    note = "return `HashMap<K, Option<V>>` or `Result<HashMap<K, Option<V>>, E>` with the `K` and `V` of the cache"
)]
pub trait ReturnedMap<K, V>: Sized {
    /// A successful answer with these.
    fn from_cached(found: Vec<(K, Option<V>)>) -> Self;
    /// The same of hits, at most so many, that are named one by one.
    fn from_hits(count: usize, found: impl Iterator<Item = (K, Option<V>)>) -> Self {
        let mut all = Vec::with_capacity(count);
        all.extend(found);
        Self::from_cached(all)
    }
    /// The body failed.
    fn is_failed(&self) -> bool;
    /// What the body says of `key`; [`Lookup::Miss`]: nothing.
    fn find(&self, key: &K) -> Lookup<&V>;
    /// Adds to a successful answer; what the body said of a key stays.
    fn add(&mut self, key: K, value: Option<V>);
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> ReturnedMap<K, V> for HashMap<K, Option<V>, S> {
    fn from_cached(found: Vec<(K, Option<V>)>) -> Self {
        found.into_iter().collect()
    }
    fn from_hits(count: usize, found: impl Iterator<Item = (K, Option<V>)>) -> Self {
        let mut all = Self::with_capacity_and_hasher(count, S::default());
        all.extend(found);
        all
    }
    fn is_failed(&self) -> bool {
        false
    }
    fn find(&self, key: &K) -> Lookup<&V> {
        self.get(key).map_or(Lookup::Miss, |found| Lookup::of(found.as_ref()))
    }
    fn add(&mut self, key: K, value: Option<V>) {
        self.entry(key).or_insert(value);
    }
}

impl<K: Ord, V> ReturnedMap<K, V> for BTreeMap<K, Option<V>> {
    fn from_cached(found: Vec<(K, Option<V>)>) -> Self {
        found.into_iter().collect()
    }
    fn is_failed(&self) -> bool {
        false
    }
    fn find(&self, key: &K) -> Lookup<&V> {
        self.get(key).map_or(Lookup::Miss, |found| Lookup::of(found.as_ref()))
    }
    fn add(&mut self, key: K, value: Option<V>) {
        self.entry(key).or_insert(value);
    }
}

impl<K, V, E, M: ReturnedMap<K, V>> ReturnedMap<K, V> for Result<M, E> {
    fn from_cached(found: Vec<(K, Option<V>)>) -> Self {
        Ok(M::from_cached(found))
    }
    fn from_hits(count: usize, found: impl Iterator<Item = (K, Option<V>)>) -> Self {
        Ok(M::from_hits(count, found))
    }
    fn is_failed(&self) -> bool {
        self.as_ref().map_or(true, M::is_failed)
    }
    fn find(&self, key: &K) -> Lookup<&V> {
        self.as_ref().map_or(Lookup::Miss, |map| map.find(key))
    }
    fn add(&mut self, key: K, value: Option<V>) {
        if let Ok(map) = self {
            map.add(key, value);
        }
    }
}

/// What a function that writes may return: a `Result`, or nothing.
#[diagnostic::on_unimplemented(
    message = "a function that writes to the cache returns a `Result` or nothing, not `{Self}`",
    note = "the cache is written only after `Ok`: return `Result<T, E>`"
)]
pub trait Done {
    /// What `result` refers to.
    type Ok;
    /// The result, where the body succeeded.
    fn ok(&self) -> Option<&Self::Ok>;
}

impl<T, E> Done for Result<T, E> {
    type Ok = T;
    fn ok(&self) -> Option<&T> {
        self.as_ref().ok()
    }
}

impl Done for () {
    type Ok = ();
    fn ok(&self) -> Option<&()> {
        Some(self)
    }
}

/// A return type that can carry an error of the cache.
#[diagnostic::on_unimplemented(
    message = "`on_cache_error = \"propagate\"` needs a `Result` whose error is made `From<CacheError>`, not `{Self}`",
    note = "implement `From<accelerator::CacheError>` for the error, or leave `on_cache_error` at \"ignore\""
)]
pub trait FromCacheError {
    /// The function's outcome for this error.
    fn from_cache_error(error: CacheError) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<CacheError>> FromCacheError for Result<T, E> {
    fn from_cache_error(error: CacheError) -> Self {
        Err(E::from(error))
    }
}
