//! What the files under proof know of errors.

#[derive(Clone, Copy)]
pub(crate) enum StoreErrorKind {
    #[allow(dead_code)]
    TooLarge,
    Timeout,
}
