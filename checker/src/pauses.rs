//! Pauses of the server: it stands still for a while, again and again, and nobody is told.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::server::Server;

/// Between two pauses there are up to so many times as long.
const APART: u64 = 8;

pub(crate) struct Pauses {
    ends: Sender<()>,
    thread: JoinHandle<u64>,
}

impl Pauses {
    /// Pauses of `ms` milliseconds from now on.
    pub(crate) fn begin(server: Arc<Server>, ms: u64, mut random: fastrand::Rng) -> Self {
        let (ends, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            loop {
                let calm = Duration::from_millis(random.u64(ms..=ms * APART));
                if ended.recv_timeout(calm) != Err(RecvTimeoutError::Timeout) {
                    return count;
                }
                server.stop();
                std::thread::sleep(Duration::from_millis(ms));
                server.cont();
                count += 1;
            }
        });
        Self { ends, thread }
    }

    /// Ends them, and says how many there were. The server runs.
    pub(crate) fn end(self) -> u64 {
        drop(self.ends);
        self.thread.join().unwrap_or(0)
    }
}
