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
use accelerator_core::{LeaseToken, StoreResult};
use xxhash_rust::xxh3::Xxh3;

use crate::command::{Command, lease_seconds};
use crate::fill::Conditional;
use crate::lease::Proof;
use crate::meaning;
use crate::pipeline::Servers;

impl Servers {
    pub(crate) async fn renew(
        &self,
        items: &[(&str, LeaseToken)],
        lease: Duration,
    ) -> Vec<StoreResult<Option<LeaseToken>>> {
        let heads: Vec<[u8; HEAD_LEN]> = items.iter().map(|(key, token)| mark(key, token)).collect();
        let (ttl, mut out) = (lease_seconds(lease), Vec::with_capacity(items.len()));
        // What is no lease stays as it is.
        let leases = || items.iter().zip(&heads).filter(|((_, token), _)| Proof::of(token).leased);
        // 1
        let marked = leases().map(|((key, token), head)| {
            let proof = Proof::of(token);
            Conditional { command: Command::Store { key, value: head, ttl, cas: Some(proof.cas) }, proof }
        });
        let mut marked = self.conditional(marked.collect(), meaning::filled).await.into_iter();
        // 2
        let read = leases().map(|((key, _), _)| Command::See { key }).collect();
        let seen = self.many(read, |at, reply, server, witnesses| {
            let mine = leases().nth(at).is_some_and(|(_, head)| reply.value == head[..]);
            meaning::seen(&reply)?;
            Ok(mine.then(|| Proof { server: server.hash, witnesses, cas: reply.cas, leased: true }.token()))
        });
        let mut seen = seen.await.into_iter();
        for (_, token) in items {
            let leased = Proof::of(token).leased;
            let (marked, seen) = if leased { (marked.next(), seen.next()) } else { (None, None) };
            out.push(match (marked, seen) {
                (Some(Err(why)), _) => Err(why),
                (_, Some(seen)) => seen,
                _ => Ok(None),
            });
        }
        out
    }
}

/// The mark of a lease that is renewed: of one token always the same, so that a renewal whose answer was lost is known again,
/// and of every other token another.
fn mark(key: &str, token: &LeaseToken) -> [u8; HEAD_LEN] {
    static SEED: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..));
    let mut hash = Xxh3::with_seed(*SEED);
    hash.update(&token.0);
    hash.update(key.as_bytes());
    Head { kind: Kind::Lease, nonce: hash.digest() }.to_bytes()
}
