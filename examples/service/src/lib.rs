//! A service over a table of users in SQLite, its methods cached by attributes.
//!
//! | layer | what it knows |
//! |---|---|
//! | [`api`] | requests and responses, as text; no web framework |
//! | [`service`] | what the methods do, and by attribute what of it is cached |
//! | [`repo`] | SQL |
//! | [`cache`] | the cache: its stores, bounds and times |
//!
//! Each layer uses the ones below it only. The attributes are the one place where service and cache meet.

pub mod api;
pub mod cache;
pub mod repo;
pub mod service;
pub mod user;
