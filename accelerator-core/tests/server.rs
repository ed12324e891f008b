//! Servers for tests come, go and fail as the testkit says; the proxy counts what it says.
#![cfg(unix)]

#[path = "server/life.rs"]
mod life;
#[path = "server/missing.rs"]
mod missing;
#[path = "server/proxy.rs"]
mod proxy;
#[path = "server/settings.rs"]
mod settings;
#[path = "server/wire.rs"]
mod wire;
