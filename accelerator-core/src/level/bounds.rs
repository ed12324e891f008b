//! What keys and values must be able to do.

use std::hash::Hash;

/// What a key must be able to do. Implemented for everything that can. (Where there is an L2 it is a
/// [`CacheKey`](crate::CacheKey) as well.)
///
/// ```
/// use accelerator_core::Key;
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Page {
///     tenant: u32,
///     path: String,
/// }
///
/// fn is_key<K: Key>() {}
/// is_key::<Page>();
/// is_key::<(u32, String)>();
/// ```
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<T: Hash + Eq + Clone + Send + Sync + 'static> Key for T {}

/// What a value must be able to do. Implemented for everything that can; `Arc<T>` makes the clone of a hit cheap.
///
/// ```
/// use accelerator_core::Value;
/// use std::sync::Arc;
///
/// struct Profile {
///     name: String, // not `Clone`, and needs not be
/// }
///
/// fn is_value<V: Value>() {}
/// is_value::<Arc<Profile>>();
/// ```
///
/// # What its own code may do
/// A store clones, drops and weighs values while the cache holds a lock. So `Clone` and `Drop` of a value (and `Hash`,
/// `Eq`, `Clone` and `Drop` of a [`Key`], a weigher, an [`L1Store`](crate::L1Store)) should do nothing but that.
///
/// - They may call `stats`, and `set`, `mset`, `del`, `mdel` and `clear` of any cache. Such a write is made as soon as the
///   lock is released, or in a task where a store drops a value on its own
///   (without a runtime it is refused, and a warning says so). Its future may be dropped; who polls it in
///   there gets an error.
/// - All else there (a read that misses, `l1_stats`, `write_guard`) panics with a message that names this rule. A read
///   that hits may wait for ever where the store holds a lock of its own.
/// - A panic ends the operation that it happens in, with an error of the kind `Panic` where that returns one, and L1 keeps
///   nothing for the key. A panic of `Drop` inside of a store ends nothing: it is logged.
pub trait Value: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Value for T {}
