//! What calls answer.

use std::collections::HashMap;
use std::hash::Hash;

use crate::error::{CacheError, CacheResult, ErrorKind};

/// The answers of an [`mget`](crate::LevelCache::mget): one per requested key, in the order of the keys, each with its
/// own outcome.
///
/// ```
/// # fn show(answers: accelerator_core::Answers<'_, u64, String>) {
/// for (key, answer) in answers.iter() {
///     match answer {
///         Ok(Some(value)) => println!("{key}: {value}"),
///         Ok(None) => println!("{key} does not exist"),
///         Err(e) => println!("{key} could not be loaded: {e}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Answers<'k, K, V> {
    pub(crate) keys: &'k [K],
    pub(crate) values: Vec<CacheResult<Option<V>>>,
}

impl<'k, K, V> Answers<'k, K, V> {
    /// The answers of a cache of one's own: one outcome per key, in their order. A key without one is an error
    /// (`NotLoaded`); what is too many is left out.
    ///
    /// ```
    /// use accelerator_core::Answers;
    /// let answers = Answers::new(&[1, 2], vec![Ok(Some("one")), Ok(None)]);
    /// assert_eq!(answers.into_values()?, [Some("one"), None]);
    /// # Ok::<(), accelerator_core::CacheError>(())
    /// ```
    #[must_use]
    pub fn new(keys: &'k [K], mut values: Vec<CacheResult<Option<V>>>) -> Self {
        values.resize_with(keys.len(), || Err(CacheError::new(ErrorKind::NotLoaded, "the cache left this key out")));
        Self { keys, values }
    }

    /// How many keys were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// No key was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The outcome of the key at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&CacheResult<Option<V>>> {
        self.values.get(index)
    }

    /// Keys and outcomes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'k K, &CacheResult<Option<V>>)> {
        self.keys.iter().zip(&self.values)
    }

    /// The outcomes, in the order of the keys.
    #[must_use]
    pub fn into_results(self) -> Vec<CacheResult<Option<V>>> {
        self.values
    }

    /// The values, in the order of the keys.
    ///
    /// # Errors
    /// The first error of any key.
    pub fn into_values(self) -> CacheResult<Vec<Option<V>>> {
        // The same buffer is used again.
        self.values.into_iter().collect()
    }

    /// The values by key.
    ///
    /// # Errors
    /// The first error of any key.
    pub fn into_map(self) -> CacheResult<HashMap<K, Option<V>>>
    where
        K: Hash + Eq + Clone,
    {
        // Not collected: a fallible iterator doesn't say how much will come.
        let mut map = HashMap::with_capacity(self.values.len());
        for (key, value) in self.keys.iter().zip(self.values) {
            map.insert(key.clone(), value?);
        }
        Ok(map)
    }
}

/// What a cache knows about a key without loading it.
///
/// ```
/// use accelerator_core::{LevelCache, Lookup, testkit::MemoryL1};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), accelerator_core::CacheError> {
/// let ttl = Duration::from_secs(60);
/// let cache = LevelCache::<u64, String>::builder().area("name").l1(MemoryL1::new()).ttl(ttl).build()?;
/// assert_eq!(cache.lookup(&1).await, Lookup::Miss);
/// cache.set(&1, "Ada".to_owned()).await?;
/// cache.set(&2, None).await?;
/// assert_eq!(cache.lookup(&1).await, Lookup::Hit("Ada".to_owned()));
/// assert_eq!(cache.lookup(&2).await, Lookup::Absent);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// This value.
    Hit(V),
    /// The source is known to have none.
    Absent,
    /// Nothing.
    Miss,
    /// Nothing in L1, and L2 could not be asked, or has something that this cache must not use.
    Unavailable,
}

impl<V> Lookup<V> {
    pub(crate) fn of(value: Option<V>) -> Self {
        value.map_or(Self::Absent, Self::Hit)
    }

    /// Whether it is an answer.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Hit(_) | Self::Absent)
    }

    /// What is known (`None`: that there is none), or else this error.
    ///
    /// ```
    /// use accelerator_core::Lookup;
    /// assert_eq!(Lookup::Hit(7).ok_or("nothing"), Ok(Some(7)));
    /// assert_eq!(Lookup::<u64>::Absent.ok_or("nothing"), Ok(None));
    /// assert_eq!(Lookup::<u64>::Miss.ok_or("nothing"), Err("nothing"));
    /// ```
    ///
    /// # Errors
    /// This one, where nothing is known.
    pub fn ok_or<E>(self, error: E) -> Result<Option<V>, E> {
        match self {
            Self::Hit(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Miss | Self::Unavailable => Err(error),
        }
    }
}

/// What [`LevelCache::warmup`](crate::LevelCache::warmup) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmupReport {
    /// Keys that were answered: cached now (as far as L1 has room), known to be absent, or in neither level.
    pub ready: usize,
    /// Keys whose load failed.
    pub failed: usize,
}

/// What [`LevelCache::shutdown`](crate::LevelCache::shutdown) left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Keys whose load or write was still in progress at the deadline.
    pub unfinished: usize,
    /// Keys whose delete L2 had not confirmed at the deadline: their older values may be read by other nodes until their
    /// TTL is over.
    pub unconfirmed: usize,
    /// Invalidations that the bus had not taken at the deadline: other nodes may answer older values from their L1, until
    /// they find out that they missed a message, or their TTL is over.
    pub unpublished: usize,
}
