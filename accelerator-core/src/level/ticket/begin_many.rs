//! Tickets for many keys, in one pass over L1 and one look into L2.

use std::collections::HashSet;
use std::sync::Arc;

use crate::cache::{Batch, Begin, CacheFuture, LoadTicket};
use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::local::host::Step;
use crate::level::read::pass::Missing;
use crate::level::remote::Remote;
use crate::level::remote::look::Look;
use crate::level::remote::permit::L2Use;
use crate::level::stats::counters::Count;
use crate::level::ticket::begin::begin_on;
use crate::level::ticket::busy::Busy;
use crate::level::ticket::hold::TicketToCome;

/// Reads L2 for many tickets, in chunks of one call each.
async fn look_for_tickets<K: Key, V: Value>(
    remote: &Arc<Remote<K, V>>,
    led: &[(usize, TicketToCome<'_, K, V>)],
) -> Vec<Look<K, V>> {
    let mut found = Vec::with_capacity(led.len());
    let policy = &remote.local.policy;
    let mut limit = policy.l2_read_timeout;
    for chunk in led.chunks(policy.max_batch) {
        let keys = || chunk.iter().map(|(_, leads)| leads.key());
        let names = remote.wire.names(keys());
        let mut looks = remote.look_many(keys(), &names, policy.lease, limit, L2Use::Read).await;
        if looks.gave_up {
            limit = policy.later_chunk();
        }
        found.extend((0..names.len()).map(|_| looks.next_look()));
    }
    found
}

/// `begin_many`: probes are done.
pub(crate) fn begin_missing<'a, K: Key, V: Value>(
    engine: &'a Arc<Engine<K, V>>,
    keys: &'a [K],
    mut batch: Batch<'a, V>,
    missing: Vec<Missing>,
    allow_stale: bool,
) -> CacheFuture<'a, Batch<'a, V>> {
    if engine.local.is_closed() {
        batch.unavailable = Some(CacheError::shutdown());
        batch.led.extend(missing.into_iter().map(|missing| (missing.at, LoadTicket::detached())));
        return CacheFuture::ready(batch);
    }
    engine.tend();
    let (mut led, mut followed) = (Vec::with_capacity(missing.len()), Vec::new());
    for Missing { at, seen } in missing {
        match engine.local.join_latent_uncounted(&keys[at], seen, LedBy::Ticket, true) {
            Join::Hit(value) => {
                engine.local.counters.l1_hit(value.is_none());
                batch.hits.push((at, value));
            }
            Join::Lead(reserved) => led.push((at, TicketToCome::new(&engine.local, &keys[at], reserved))),
            Join::Follow(flight) => followed.push((at, flight)),
        }
    }
    engine.local.counters.add(Count::Miss, (led.len() + followed.len()) as u64);
    engine.local.counters.add(Count::Joined, followed.len() as u64);
    if !followed.is_empty() {
        // A key that occurs twice is in the answer once.
        let own: HashSet<_> = led.iter().map(|(_, leads)| leads.key()).collect();
        let mut seen = HashSet::new();
        followed.retain(|(i, flight)| !own.contains(&keys[*i]) && seen.insert(Arc::as_ptr(flight)));
    }
    for (i, flight) in followed {
        let wait = CacheFuture::boxed(begin_on(engine, &keys[i], Step::Follow(flight), allow_stale, false));
        batch.followed.push((i, wait));
    }
    let Some(remote) = &engine.remote else {
        batch.led.reserve_exact(led.len());
        batch.led.extend(led.into_iter().map(|(i, leads)| (i, ticket_of(leads.begin(None)))));
        return CacheFuture::ready(batch);
    };
    CacheFuture::boxed(async move {
        let mut looks = engine.local.tasks.inside(look_for_tickets(remote, &led)).await;
        remote.keep_alive(looks.iter_mut().map(|look| &mut look.permit), remote.local.policy.longest_ticket());
        let (mut busy, now) = (Vec::new(), engine.local.now());
        for ((i, leads), look) in led.into_iter().zip(looks) {
            if look.busy {
                busy.push((i, leads));
                continue;
            }
            match leads.begin(Some((remote, look, now))) {
                Begin::Hit(value) => batch.hits.push((i, value)),
                begin => {
                    remote.count_missed(L2Use::Read, 1);
                    batch.led.push((i, ticket_of(begin)));
                }
            }
        }
        if !busy.is_empty() {
            batch.led.extend(Busy::tickets(remote, busy));
            // In the order of the call again.
            batch.led.sort_unstable_by_key(|(i, _)| *i);
        }
        batch
    })
}

fn ticket_of<V>(begin: Begin<V>) -> LoadTicket<V> {
    match begin {
        Begin::Lead(ticket) => ticket,
        _ => LoadTicket::detached(),
    }
}
