//! Load for a batch: what was loaded goes into L2, then into L1.

use std::sync::Arc;

use futures_util::future::join;

use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::load::open_key::Loading;
use crate::level::local::outcome::End;
use crate::level::remote::Remote;
use crate::level::remote::fill::Outgoing;

/// Steps 4 and 5. What is not stored waits for nobody's fill, nor does what has to go.
pub(crate) async fn end_loaded<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, done: Vec<Loading<'_, K, V>>) {
    let (kept, gone) = done.into_iter().partition(|(_, loaded)| loaded.lives.is_some());
    join(store_and_end(engine, kept), store_and_end(engine, gone)).await;
}

async fn store_and_end<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, done: Vec<Loading<'_, K, V>>) {
    let (mut outgoing, mut sent, mut lost) = (Outgoing::default(), Vec::new(), Vec::new());
    for (mut open, loaded) in done {
        let prepare = |remote: &Arc<Remote<K, V>>| Some(remote.prepare(open.fill(&loaded)?, &mut outgoing));
        match engine.remote.as_ref().and_then(prepare) {
            Some(true) => sent.push((open, loaded)),
            _ => open.end(End::Loaded(loaded)),
        }
    }
    if let (Some(remote), false) = (&engine.remote, outgoing.is_empty()) {
        // In a box of its own, which is not there while the source is asked.
        lost = Box::pin(remote.send(outgoing)).await;
    }
    for (n, (open, mut loaded)) in sent.into_iter().enumerate() {
        // They are in order.
        if lost.binary_search(&n).is_ok() {
            loaded.lives = None;
        }
        open.end(End::Loaded(loaded));
    }
}
