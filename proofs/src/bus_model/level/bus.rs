#[path = "../../../../accelerator-core/src/level/bus/message.rs"]
pub(crate) mod message;
#[path = "../../../../accelerator-core/src/level/bus/origins.rs"]
pub(crate) mod origins;
#[path = "../../../../accelerator-core/src/level/bus/outbox.rs"]
pub(crate) mod outbox;
#[path = "../../../../accelerator-core/src/level/bus/pending.rs"]
pub(crate) mod pending;
