//! What users have written against the library goes on to compile and to mean the same: `docs/api-stability.md`.
//!
//! A change that breaks one of these tests breaks users. What is new is added here in the release that publishes it.

#![allow(clippy::type_complexity, reason = "signatures are the point")]
#![cfg(all(feature = "macros", feature = "moka", feature = "postcard"))]

mod builder;
mod macros;
#[cfg(feature = "metrics")]
mod metrics;
mod verbs;
