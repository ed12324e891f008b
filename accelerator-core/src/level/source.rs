//! Where values come from: every kind of loader behind two object-safe traits.

use std::future::Future;
use std::sync::Arc;

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult, ErrorKind, LoadError};
use crate::level::bounds::{Key, Value};
use crate::traits::loader::{BatchLoader, Loaded, Loader};

pub(crate) type LoadFuture<T> = BoxFuture<'static, CacheResult<T>>;

/// The object-safe twin of [`Loader`]: one box, `'static`, so that it can move into a task.
pub(crate) trait OneLoader<K, V>: Send + Sync {
    fn load_owned(&self, key: K) -> LoadFuture<Loaded<V>>;
}

/// The object-safe twin of [`BatchLoader`].
pub(crate) trait ManyLoader<K, V>: Send + Sync {
    fn mload_owned(&self, keys: Vec<K>) -> LoadFuture<Vec<(K, Loaded<V>)>>;
}

/// The loaders of a cache.
pub(crate) struct Sources<K, V> {
    pub(crate) one: Option<Box<dyn OneLoader<K, V>>>,
    pub(crate) many: Option<Box<dyn ManyLoader<K, V>>>,
}

impl<K, V> Sources<K, V> {
    /// Whether there is anything to load with.
    pub(crate) fn exist(&self) -> bool {
        self.one.is_some() || self.many.is_some()
    }
}

impl<K: Key, V: Value> Sources<K, V> {
    /// The load of one key; `None` without any loader. What user code does before its first await, it does here.
    pub(crate) fn start(&self, key: K) -> Option<LoadFuture<Loaded<V>>> {
        if let Some(one) = &self.one {
            return Some(one.load_owned(key));
        }
        let load = self.many.as_ref()?.mload_owned(vec![key.clone()]);
        Some(Box::pin(async move {
            let found = load.await?.into_iter().find(|(found, _)| *found == key);
            found.map(|(_, loaded)| loaded).ok_or_else(not_loaded)
        }))
    }
}

pub(crate) fn not_loaded() -> CacheError {
    CacheError::new(ErrorKind::NotLoaded, "the batch loader's answer leaves this key out")
}

/// A user's implementation of a trait; shared, as its futures borrow it.
pub(crate) struct ByTrait<L>(pub(crate) Arc<L>);

impl<K: Key, V: Value, L: Loader<K, V>> OneLoader<K, V> for ByTrait<L> {
    fn load_owned(&self, key: K) -> LoadFuture<Loaded<V>> {
        let loader = self.0.clone();
        Box::pin(async move { loader.load(&key).await.map_err(CacheError::loader) })
    }
}

impl<K: Key, V: Value, L: BatchLoader<K, V>> ManyLoader<K, V> for ByTrait<L> {
    fn mload_owned(&self, keys: Vec<K>) -> LoadFuture<Vec<(K, Loaded<V>)>> {
        let loader = self.0.clone();
        Box::pin(async move { Ok(loader.mload(&keys).await.map_err(CacheError::loader)?.into_iter().collect()) })
    }
}

/// A function as a loader.
pub(crate) struct FromFn<F>(pub(crate) F);

impl<K: Key, V: Value, F, Fut, T, E> OneLoader<K, V> for FromFn<F>
where
    F: Fn(K) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Loaded<V>>,
    E: Into<LoadError>,
{
    fn load_owned(&self, key: K) -> LoadFuture<Loaded<V>> {
        let load = (self.0)(key);
        Box::pin(async move { load.await.map(Into::into).map_err(CacheError::loader) })
    }
}

impl<K: Key, V: Value, F, Fut, I, T, E> ManyLoader<K, V> for FromFn<F>
where
    F: Fn(Vec<K>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: IntoIterator<Item = (K, T)>,
    T: Into<Loaded<V>>,
    E: Into<LoadError>,
{
    fn mload_owned(&self, keys: Vec<K>) -> LoadFuture<Vec<(K, Loaded<V>)>> {
        let load = (self.0)(keys);
        Box::pin(async move {
            let found = load.await.map_err(CacheError::loader)?;
            Ok(found.into_iter().map(|(key, value)| (key, value.into())).collect())
        })
    }
}
