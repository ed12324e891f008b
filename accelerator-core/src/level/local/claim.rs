//! One L1 store, one cache; one area of an L2 store, one kind of cache: two that share one would answer with each other's
//! values.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The stores of all living caches of this process, by identity: one entry for each cache.
static CLAIMED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// A store that no other cache may have. Dropped, it is free again.
pub(crate) struct Claim(Option<usize>);

impl Claim {
    /// `None`: another cache has it. A store without an identity is everybody's.
    pub(crate) fn of(identity: Option<usize>) -> Option<Self> {
        let is_free = identity.is_none_or(|identity| claimed().insert(identity));
        is_free.then(|| Self(identity))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(identity) = &self.0 {
            claimed().remove(identity);
        }
    }
}

fn claimed() -> MutexGuard<'static, BTreeSet<usize>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store by its identity, and an area of it.
type Area = (usize, String);

/// Who has the areas of all living caches of this process, as far as their stores have an identity.
static AREAS: Mutex<BTreeMap<Area, Vec<Terms>>> = Mutex::new(BTreeMap::new());

/// What must be the same for two caches to have one area: what its bytes mean, and how long they live there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    types: [(TypeId, &'static str); 2],
    codec: u8,
    schema: u32,
    /// `l2_ttl`, `null_ttl` and `stale_on_error`, in milliseconds.
    lives: [u64; 3],
    max_value_bytes: usize,
    /// The numbers of its layers.
    layers: Vec<u8>,
}

impl Terms {
    pub(crate) fn of<K: 'static, V: 'static>(codec: u8, schema: u32, lives: [u64; 3], max_value_bytes: usize) -> Self {
        let types = [(TypeId::of::<K>(), type_name::<K>()), (TypeId::of::<V>(), type_name::<V>())];
        Self { types, codec, schema, lives, max_value_bytes, layers: Vec::new() }
    }

    /// With layers of these numbers.
    pub(crate) fn with_layers(mut self, layers: Vec<u8>) -> Self {
        self.layers = layers;
        self
    }

    /// What is different in another's.
    fn difference(&self, other: &Self) -> Option<String> {
        let [(key, key_name), (value, value_name)] = &other.types;
        match () {
            () if self.types[0].0 != *key => Some(format!("keys of the type {key_name}")),
            () if self.types[1].0 != *value => Some(format!("values of the type {value_name}")),
            () if self.codec != other.codec => Some("another codec".to_owned()),
            () if self.schema != other.schema => Some("another shape of its values, or schema_version".to_owned()),
            () if self.lives != other.lives => Some("another l2_ttl, null_ttl or stale_on_error".to_owned()),
            () if self.layers != other.layers => Some("other layers (compress, encrypt)".to_owned()),
            () if self != other => Some("another max_value_bytes".to_owned()),
            () => None,
        }
    }
}

/// A cache's part in an area. Dropped, it has none any more.
pub(crate) struct AreaClaim(Option<(Area, Terms)>);

impl AreaClaim {
    /// Or what is different in that of another cache that lives. `shared`: it may be. A store without an identity has as
    /// many areas of one name as there are caches.
    pub(crate) fn of(store: Option<usize>, area: &str, terms: Terms, shared: bool) -> Result<Self, String> {
        let Some(store) = store else { return Ok(Self(None)) };
        let (area, mut areas) = ((store, area.to_owned()), owners());
        let others = areas.entry(area.clone()).or_default();
        if !shared && let Some(difference) = others.iter().find_map(|other| terms.difference(other)) {
            return Err(difference);
        }
        others.push(terms.clone());
        Ok(Self(Some((area, terms))))
    }
}

impl Drop for AreaClaim {
    fn drop(&mut self) {
        let Some((area, terms)) = self.0.take() else { return };
        let mut areas = owners();
        if let Some(others) = areas.get_mut(&area) {
            if let Some(own) = others.iter().position(|other| *other == terms) {
                others.swap_remove(own);
            }
            if others.is_empty() {
                areas.remove(&area);
            }
        }
    }
}

fn owners() -> MutexGuard<'static, BTreeMap<Area, Vec<Terms>>> {
    AREAS.lock().unwrap_or_else(PoisonError::into_inner)
}
