//! Writes that count only while a lease stands.

use std::sync::Arc;

use accelerator_core::{Filled, LeaseToken, StoreResult};
use futures_util::future::join_all;

use crate::command::Command;
use crate::fault::Fault;
use crate::lease::Proof;
use crate::meaning;
use crate::pipeline::{End, Servers};
use crate::pool::Which;
use crate::reply::Reply;
use crate::server::Server;

/// The part of a batch that one server has, with the places of the answers.
type Share<'a> = Vec<(usize, Conditional<'a>)>;

/// One conditional write: the command must carry the CAS number of `proof`.
pub(crate) struct Conditional<'a> {
    pub(crate) command: Command<'a>,
    pub(crate) proof: Proof,
}

impl Servers {
    /// Carries out conditional writes, each over a connection that vouches for its token: `None` where there is none left.
    pub(crate) async fn conditional<T>(
        &self,
        items: Vec<Conditional<'_>>,
        meaning: impl Fn(&Reply) -> Result<T, Fault> + Sync,
    ) -> Vec<StoreResult<Option<T>>> {
        let mut out: Vec<StoreResult<Option<T>>> = Vec::with_capacity(items.len());
        let mut shares: Vec<(&Arc<Server>, Share<'_>)> = Vec::new();
        for (position, item) in items.into_iter().enumerate() {
            let key = item.command.key();
            let server = self.of(key);
            let checked = self.check_key(key);
            // A token of another server, or of no store, stands for nothing here.
            if checked.is_ok() && item.proof.server == server.hash {
                match shares.iter_mut().find(|(of, _)| Arc::ptr_eq(of, server)) {
                    Some((_, share)) => share.push((position, item)),
                    None => shares.push((server, vec![(position, item)])),
                }
            }
            out.push(checked.map(|()| None));
        }
        let runs = shares.into_iter().map(|(server, share)| self.share(server, share, &meaning));
        for (position, answer) in join_all(runs).await.into_iter().flatten() {
            out[position] = answer;
        }
        out
    }

    /// The part of one server: mostly one pipeline, over a connection that vouches for all tokens.
    async fn share<T>(
        &self,
        server: &Arc<Server>,
        mut share: Share<'_>,
        meaning: impl Fn(&Reply) -> Result<T, Fault>,
    ) -> Vec<(usize, StoreResult<Option<T>>)> {
        let mut out = Vec::with_capacity(share.len());
        // A connection that vouches for the oldest token vouches for all of its era.
        share.sort_by_key(|(_, item)| item.proof.witnesses);
        while let Some((_, oldest)) = share.first() {
            let which = oldest.proof.witnesses;
            let together = share.iter().take_while(|(_, item)| item.proof.witnesses.is_of_the_era_of(which)).count();
            let commands: Vec<Command<'_>> = share[..together].iter().map(|(_, item)| item.command).collect();
            let outcome = self.exchange(server, which, &commands).await;
            if matches!(outcome.end, End::NoWitness) {
                share.retain(|(_, item)| item.proof.witnesses != which);
                continue;
            }
            let mut replies = outcome.replies.iter();
            out.extend(share.drain(..together).map(|(position, _)| {
                let meant = replies.next().map_or_else(|| Err(outcome.end.why()), &meaning);
                (position, meant.map(Some).map_err(|why| why.of(&server.name)))
            }));
        }
        out
    }

    /// Fills under leases.
    pub(crate) async fn fill(&self, items: Vec<(&str, LeaseToken, &[u8], u32)>) -> Vec<StoreResult<Filled>> {
        let most = self.settings.max_value_bytes;
        let sent = items.iter().filter(|(_, _, value, _)| value.len() <= most).map(|(key, token, value, ttl)| {
            let proof = Proof::of(token);
            Conditional { command: Command::Store { key, value, ttl: *ttl, cas: Some(proof.cas) }, proof }
        });
        let mut answers = self.conditional(sent.collect(), meaning::filled).await.into_iter();
        let answer = |(key, _, value, _): (&str, LeaseToken, &[u8], u32)| {
            if value.len() > most {
                return Err(meaning::over_the_limit().of(&self.of(key).name));
            }
            let answer = answers.next().unwrap_or(Ok(None));
            answer.map(|filled| filled.unwrap_or(Filled::Lost))
        };
        items.into_iter().map(answer).collect()
    }

    /// Gives a lease back. One that nobody vouches for any more is gone, or ends by itself.
    pub(crate) async fn release(&self, key: &str, token: &LeaseToken) -> StoreResult<()> {
        let proof = Proof::of(token);
        let item = Conditional { command: Command::Delete { key, cas: Some(proof.cas) }, proof };
        let answers = self.conditional(vec![item], meaning::deleted).await;
        answers.into_iter().try_for_each(|answer| answer.map(|_| ()))
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
