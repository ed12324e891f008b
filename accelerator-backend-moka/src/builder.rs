//! What the builders of both stores share: the bound, the weigher, the hasher. Their libraries have the same words for it,
//! in types of their own.

use accelerator_core::{CacheError, ErrorKind};

/// The builder of a store on `$library`; `$extra` is what this store alone is told.
macro_rules! builder {
    ($Store:ident, $Builder:ident, $library:ident, $extra:ty) => {
        impl<K, V> $Store<K, V>
        where
            K: Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            /// A store of up to `capacity` entries; zero stores nothing.
            #[must_use]
            pub fn new(capacity: u64) -> Self {
                Self::builder().capacity(capacity).assemble()
            }

            /// Begins a store; `capacity` or `weigher` is all it needs.
            pub fn builder() -> $Builder<K, V> {
                let (inner, hasher) = ($library::sync::Cache::builder(), RandomState::default());
                $Builder { inner, hasher, max: None, weighs: false, extra: Default::default() }
            }
        }

        #[doc = concat!("Sets a [`", stringify!($Store), "`] up. Nothing is checked before [`build`](Self::build).")]
        #[must_use = "call build()"]
        pub struct $Builder<K, V, S = RandomState> {
            inner: $library::sync::CacheBuilder<K, Entry<V>, $library::sync::Cache<K, Entry<V>>>,
            hasher: S,
            max: Option<u64>,
            weighs: bool,
            extra: $extra,
        }

        impl<K, V, S> $Builder<K, V, S>
        where
            K: Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            /// Bounded by a number of entries; zero stores nothing. This or [`weigher`](Self::weigher) is required: there are
            /// no unbounded stores.
            pub fn capacity(self, entries: u64) -> Self {
                let inner = $library::sync::Cache::builder().max_capacity(entries);
                Self { inner, max: Some(entries), weighs: false, ..self }
            }

            /// Bounded by weight: the `weigher` says what an entry weighs, in bytes or any unit, and together they stay
            /// below `max`. A weight of zero counts as one, so that nothing is stored for nothing. It must always say the
            /// same of the same entry, and must not call the cache.
            pub fn weigher<F>(self, max: u64, weigher: F) -> Self
            where
                F: Fn(&K, &Entry<V>) -> u32 + Send + Sync + 'static,
            {
                let inner = $library::sync::Cache::builder().max_capacity(max);
                let inner = inner.weigher(move |key: &K, entry: &Entry<V>| weigher(key, entry).max(1));
                Self { inner, max: Some(max), weighs: true, ..self }
            }

            /// Another hasher than foldhash's.
            pub fn hasher<T>(self, hasher: T) -> $Builder<K, V, T> {
                let Self { inner, max, weighs, extra, .. } = self;
                $Builder { inner, hasher, max, weighs, extra }
            }

            /// The store.
            ///
            /// # Errors
            /// `InvalidConfig` where nothing bounds it.
            pub fn build(self) -> CacheResult<$Store<K, V, S>>
            where
                S: BuildHasher + Clone + Send + Sync + 'static,
            {
                if self.max.is_none() { Err(unbounded()) } else { Ok(self.assemble()) }
            }
        }
    };
}

pub(crate) use builder;

pub(crate) fn unbounded() -> CacheError {
    let message = "capacity = (not set): takes a number of entries; or bound the store by weigher(max, ..)";
    CacheError::new(ErrorKind::InvalidConfig, message)
}
