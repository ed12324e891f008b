//! The type of a cache's keys, for expressions whose own type is open.

use std::fmt;
use std::marker::PhantomData;

use crate::cache::Cache;

/// The type `K` of a cache's keys. The macros name no types: with this, `key = name.into()` gets the one that is meant.
///
/// ```
/// use accelerator_core::__private::keys_of;
/// # fn with(cache: &dyn accelerator_core::Cache<String, u64>, name: &str) {
/// let key = name.into();
/// keys_of(cache).are(&key); // so it is a `String`
/// # }
/// ```
pub struct Keys<K>(PhantomData<fn(K)>);

/// The type of `cache`'s keys.
#[must_use]
#[inline(always)]
pub fn keys_of<K: Sync + 'static, V: Send + 'static, C: Cache<K, V> + ?Sized>(_: &C) -> Keys<K> {
    Keys(PhantomData)
}

impl<K> Keys<K> {
    /// The type of the keys of a cache that is named elsewhere.
    #[must_use]
    #[inline(always)]
    pub const fn of_another() -> Self {
        Self(PhantomData)
    }

    /// Says that this is one, and does nothing.
    #[inline(always)]
    pub const fn are(self, _: &K) {}
}

impl<K> Clone for Keys<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Keys<K> {}

impl<K> fmt::Debug for Keys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}
