//! The protocol between nodes, all of its states: two nodes, one key, an L2, and a bus that loses, doubles, damages and
//! swaps messages, is cut and comes back, and fails to take what it is given.
//!
//! What decides is the code that ships: which number shows a loss (`origins.rs`), what waits to be told, goes together and
//! is told again (`outbox.rs`, `pending.rs`), what a message says (`message.rs`). The steps around it, which ship as tasks,
//! are those of `steps/`; each says which file it stands for. The slot table is taken as what the other proofs show it to
//! be: a purge, and every load in progress is refused.
//!
//! ```text
//! cargo run --release -p accelerator-proofs --bin bus_model -- --all       every plan, all states
//! cargo run --release -p accelerator-proofs --bin bus_model -- --weak      every weakening, and how it is refuted
//! ```
//!
//! **Time** is what it makes happen: a tick is `suspect_ttl`, after which nothing that was stored for so long is left; a
//! hello is due as long as the other node has not heard the last number. How long a load takes is not counted.

pub(crate) mod error;
pub(crate) mod level;
mod plan;
mod promises;
mod run;
mod state;
mod steps;
mod weakness;

pub use plan::{Plan, Size, plans};
pub use run::{Explored, Refuted, explore};
pub use weakness::Weakness;
