//! TODO

pub(crate) mod delete;
pub(crate) mod guard;
pub(crate) mod in_task;
pub(crate) mod in_turn;
pub(crate) mod set;
