//! The files under proof, as they are: numbers, what waits to be told and is told again, the bytes of messages.

// Not every part of them is needed by the model.
#![allow(dead_code)]

pub(crate) mod bus;
pub(crate) mod time;
