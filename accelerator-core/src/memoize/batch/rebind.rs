//! The keys that a batch body still has to load, in the type that the function was given them in.

/// `keys` of a cached batch read: `Vec<K>`, `&[K]` or `&Vec<K>`.
#[diagnostic::on_unimplemented(
    message = "`keys` of type `{Self}` can't be bound again to the keys that are missing",
    note = "take the keys as `Vec<K>`, `&[K]` or `&Vec<K>`"
)]
pub trait Rebind<'a, K>: Sized {
    /// The same type, with `missing` in it.
    fn rebind(missing: &'a mut Vec<K>) -> Self;
}

impl<'a, K> Rebind<'a, K> for Vec<K> {
    fn rebind(missing: &'a mut Vec<K>) -> Self {
        std::mem::take(missing)
    }
}

impl<'a, K> Rebind<'a, K> for &'a [K] {
    fn rebind(missing: &'a mut Vec<K>) -> Self {
        missing
    }
}

impl<'a, K> Rebind<'a, K> for &'a Vec<K> {
    fn rebind(missing: &'a mut Vec<K>) -> Self {
        missing
    }
}
