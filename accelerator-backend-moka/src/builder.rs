//! What the builders of both stores share: the bound, the weigher, the hasher. Their libraries have the same words for it,
//! in types of their own.

/// The two steps of a store's builder, on `$library`; `$extra` is what this store alone is told.
macro_rules! builder {
    ($Store:ident, $Start:ident, $Builder:ident, $library:ident, $extra:ty) => {
        impl<K, V> $Store<K, V>
        where
            K: Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            /// A store of up to `capacity` entries; zero stores nothing.
            #[must_use]
            pub fn new(capacity: u64) -> Self {
                Self::builder().capacity(capacity).build()
            }

            /// A store with a weigher or a hasher of its own. It asks for a bound first: there are no unbounded stores.
            #[must_use]
            pub fn builder() -> $Start<K, V> {
                $Start(PhantomData)
            }
        }

        #[doc = concat!("The first step of [`", stringify!($Store), "::builder`]: what bounds the store.")]
        pub struct $Start<K, V>(PhantomData<fn() -> (K, V)>);

        impl<K, V> $Start<K, V>
        where
            K: Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            /// Bounded by a number of entries; zero stores nothing.
            pub fn capacity(self, entries: u64) -> $Builder<K, V> {
                let inner = $library::sync::Cache::builder().max_capacity(entries);
                $Builder {
                    inner,
                    hasher: RandomState::default(),
                    max: entries,
                    weighs: false,
                    extra: Default::default(),
                }
            }

            /// Bounded by weight: the `weigher` says what an entry weighs, in bytes or any unit, and together they stay
            /// below `max`. A weight of zero counts as one, so that nothing is stored for nothing. It must always say the
            /// same of the same entry, and must not call the cache.
            pub fn weigher<F>(self, max: u64, weigher: F) -> $Builder<K, V>
            where
                F: Fn(&K, &Entry<V>) -> u32 + Send + Sync + 'static,
            {
                let inner = $library::sync::Cache::builder().max_capacity(max);
                let inner = inner.weigher(move |key: &K, entry: &Entry<V>| weigher(key, entry).max(1));
                $Builder { inner, hasher: RandomState::default(), max, weighs: true, extra: Default::default() }
            }
        }

        #[doc = concat!("The second step of [`", stringify!($Store), "::builder`].")]
        #[must_use]
        pub struct $Builder<K, V, S = RandomState> {
            inner: $library::sync::CacheBuilder<K, Entry<V>, $library::sync::Cache<K, Entry<V>>>,
            hasher: S,
            max: u64,
            weighs: bool,
            extra: $extra,
        }

        impl<K, V, S> $Builder<K, V, S> {
            /// Another hasher than foldhash's.
            pub fn hasher<T>(self, hasher: T) -> $Builder<K, V, T> {
                let Self { inner, max, weighs, extra, .. } = self;
                $Builder { inner, hasher, max, weighs, extra }
            }
        }
    };
}

pub(crate) use builder;
