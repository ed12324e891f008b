//! Ports for servers that come and go.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

/// Below the ports that systems give to outgoing connections: a server that is down for a moment must find its port
/// free again, and a client that dials it meanwhile must not be given that very port and so reach itself.
const PORTS: Range<u16> = 20_000..32_000;

/// How many are tried: more than there are.
const TRIES: usize = 50_000;

/// Listens on a free port of the loopback address.
pub(super) fn listen() -> (TcpListener, u16) {
    let mut tries = (0..TRIES).map(|_| fastrand::u16(PORTS));
    let free = tries.find_map(|port| Some((TcpListener::bind(addr(port)).ok()?, port)));
    free.expect("a free port of the loopback address")
}

/// A port on which nobody listened a moment ago.
pub(super) fn free() -> u16 {
    listen().1
}

pub(super) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
