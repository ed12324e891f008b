//! How bytes come and go: from an address to a server that has answered, and what it says.

pub(crate) mod dial;
pub(crate) mod handshake;
pub(crate) mod reply;
#[cfg(feature = "tls")]
pub(crate) mod tls;
