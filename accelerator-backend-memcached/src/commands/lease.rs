//! Writes that count only while a lease stands.

use std::sync::Arc;

use accelerator_core::{Filled, LeaseToken, Outcomes, StoreResult};
use futures_util::future::join_all;

use crate::commands::command::Command;
use crate::commands::exchange::{End, Servers, Shared};
use crate::commands::interpret;
use crate::commands::reply::Reply;
use crate::connection::pool::Which;
use crate::connection::server::Server;
use crate::error::Fault;
use crate::token::Proof;

/// The part of a batch that one server has, with the places of the answers.
type Share<'a> = Vec<(usize, Conditional<'a>)>;

/// One conditional write: the command must carry the CAS number of `proof`.
pub(crate) struct Conditional<'a> {
    pub(crate) command: Command<'a>,
    pub(crate) proof: Proof,
}

impl Servers {
    /// Carries out conditional writes, each over a connection that vouches for its token, and gives `put` the answer to
    /// the write at a position as it comes: `None` where there is no such connection left.
    pub(crate) async fn conditional<T>(
        &self,
        items: Vec<(usize, Conditional<'_>)>,
        put: impl Fn(usize, StoreResult<Option<T>>) + Sync,
        meaning: impl Fn(&Reply) -> Result<T, Fault> + Sync,
    ) {
        let mut shares: Vec<(&Arc<Server>, Share<'_>)> = Vec::new();
        for (position, item) in items {
            let key = item.command.key();
            let server = self.of(key);
            match self.check_key(key) {
                Ok(()) if item.proof.server == server.hash => {
                    match shares.iter_mut().find(|(of, _)| Arc::ptr_eq(of, server)) {
                        Some((_, share)) => share.push((position, item)),
                        None => shares.push((server, vec![(position, item)])),
                    }
                }
                // A token of another server, or of no store, stands for nothing here.
                checked => put(position, checked.map(|()| None)),
            }
        }
        join_all(shares.into_iter().map(|(server, share)| self.share(server, share, &put, &meaning))).await;
    }

    /// The part of one server: mostly one pipeline, over a connection that vouches for all tokens.
    async fn share<T>(
        &self,
        server: &Arc<Server>,
        mut share: Share<'_>,
        put: &(impl Fn(usize, StoreResult<Option<T>>) + Sync),
        meaning: &(impl Fn(&Reply) -> Result<T, Fault> + Sync),
    ) {
        // A connection that vouches for the oldest token vouches for all of its era.
        share.sort_by_key(|(_, item)| item.proof.witnesses);
        while let Some((_, oldest)) = share.first() {
            let which = oldest.proof.witnesses;
            let together = share.iter().take_while(|(_, item)| item.proof.witnesses.is_of_the_era_of(which)).count();
            let (positions, commands): (Vec<usize>, Vec<Command<'_>>) =
                share[..together].iter().map(|(position, item)| (*position, item.command)).unzip();
            let mut positions = positions.into_iter();
            let end = self.exchange_each(server, which, &commands, |reply, _| {
                if let Some(position) = positions.next() {
                    put(position, meaning(&reply).map(Some).map_err(|why| why.of(&server.name)));
                }
            });
            let end = end.await;
            if matches!(end, End::NoWitness) {
                share.retain(|(position, item)| {
                    let stays = item.proof.witnesses != which;
                    if !stays {
                        put(*position, Ok(None));
                    }
                    stays
                });
                continue;
            }
            positions.for_each(|position| put(position, Err(end.why().of(&server.name))));
            share.drain(..together);
        }
    }

    /// Fills under leases.
    pub(crate) async fn fill(&self, items: Vec<(&str, LeaseToken, &[u8], u32)>, out: &mut Outcomes<Filled>) {
        let most = self.settings.max_value_bytes;
        let mut sent = Vec::with_capacity(items.len());
        for (position, (key, token, value, ttl)) in items.into_iter().enumerate() {
            if value.len() > most {
                out.put(position, Err(interpret::over_the_limit().of(&self.of(key).name)));
                continue;
            }
            let proof = Proof::of(&token);
            let command = Command::Store { key, value, ttl, cas: Some(proof.cas) };
            sent.push((position, Conditional { command, proof }));
        }
        let out = Shared::new(out);
        let put = |position, filled: StoreResult<Option<Filled>>| {
            out.put(position, filled.map(|filled| filled.unwrap_or(Filled::Lost)));
        };
        self.conditional(sent, put, interpret::filled).await;
    }

    /// Gives a lease back. One that nobody vouches for any more is gone, or ends by itself.
    pub(crate) async fn release(&self, key: &str, token: &LeaseToken) -> StoreResult<()> {
        let proof = Proof::of(token);
        let item = Conditional { command: Command::Delete { key, cas: Some(proof.cas) }, proof };
        let mut out = Outcomes::new(1);
        let answer = Shared::new(&mut out);
        let put = |position, gone: StoreResult<Option<()>>| answer.put(position, gone.map(drop));
        self.conditional(vec![(0, item)], put, interpret::deleted).await;
        out.take(0).unwrap_or(Ok(()))
    }
}

impl Which {
    fn is_of_the_era_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::NotYounger { era, .. }, Self::NotYounger { era: of, .. }) => era == of,
            (one, other) => one == other,
        }
    }
}
