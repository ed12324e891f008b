//! Renewing leases.
//!
//! 1 the item is replaced by our own mark, in place of exactly what was leased · 2 it is read: our mark proves the lease, and
//! its new CAS number is the token from now on
//!
//! The server can prolong an item's time, but not by comparison (`mg .. T` would touch a writer's hold as well), and it
//! gives no lease for what is there. So a renewed lease is an item of ours, which readers understand as one.

use std::sync::LazyLock;
use std::time::Duration;

use accelerator_core::head::{HEAD_LEN, Head, Kind};
use accelerator_core::{LeaseToken, Outcomes, StoreResult};
use xxhash_rust::xxh3::Xxh3;

use crate::commands::command::{Command, lease_seconds};
use crate::commands::exchange::{Servers, Shared};
use crate::commands::interpret;
use crate::commands::lease::Conditional;
use crate::token::Proof;

impl Servers {
    pub(crate) async fn renew(
        &self,
        items: &[(&str, LeaseToken)],
        lease: Duration,
    ) -> Vec<StoreResult<Option<LeaseToken>>> {
        let heads: Vec<[u8; HEAD_LEN]> = items.iter().map(|(key, token)| mark(key, token)).collect();
        let ttl = lease_seconds(lease);
        // What is no lease stays as it is.
        let is_lease = |at: &usize| items.get(*at).is_some_and(|(_, token)| Proof::of(token).leased);
        let places: Vec<usize> = (0..items.len()).filter(is_lease).collect();
        // 1
        let marks = places.iter().map(|&at| {
            let ((key, token), head) = (&items[at], &heads[at]);
            let proof = Proof::of(token);
            (at, Conditional { command: Command::Store { key, value: head, ttl, cas: Some(proof.cas) }, proof })
        });
        let mut marked = Outcomes::new(items.len());
        let out = Shared::new(&mut marked);
        self.conditional(marks.collect(), |at, outcome| out.put(at, outcome), interpret::filled).await;
        // 2
        let read = places.iter().map(|&at| Command::See { key: items[at].0 }).collect();
        let mut seen = Outcomes::new(places.len());
        self.many(read, &mut seen, |n, reply, server, witnesses| {
            let mine = places.get(n).is_some_and(|&at| reply.value == heads[at][..]);
            interpret::seen(&reply)?;
            Ok(mine.then(|| Proof { server: server.hash, witnesses, cas: reply.cas, leased: true }.token()))
        })
        .await;
        let mut seen = seen.ended().into_iter();
        let answers = (0..items.len()).map(|at| match is_lease(&at).then(|| (marked.take(at), seen.next())) {
            Some((Some(Err(why)), _)) => Err(why),
            Some((_, Some(seen))) => seen,
            _ => Ok(None),
        });
        answers.collect()
    }
}

/// The mark of a lease that is renewed: of one token always the same, so that a renewal whose answer was lost is known again,
/// and of every other token another.
fn mark(key: &str, token: &LeaseToken) -> [u8; HEAD_LEN] {
    static SEED: LazyLock<u64> = LazyLock::new(|| Head::random(Kind::Lease).nonce);
    let mut hash = Xxh3::with_seed(*SEED);
    hash.update(token.proof());
    hash.update(key.as_bytes());
    Head { kind: Kind::Lease, nonce: hash.digest() }.to_bytes()
}
