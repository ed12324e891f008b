//! Leases, for many keys.
//!
//! The steps are those of `lease.rs`, with one after the first: where batches have found all their keys lately, `MGET` comes
//! first, and leases are asked for what it doesn't find: a third off for a batch that is all there, a round trip more for
//! one that isn't (ADR 0018). So it has to be earned: `MgetFirst`.

use std::sync::Arc;
use std::time::Duration;

use accelerator_core::head::{Head, Kind};
use accelerator_core::{L2Read, Outcomes, StoreErrorKind};
use redis::{Pipeline, Value};

use crate::commands::chunks::fail;
use crate::commands::command::{self, ScriptCall};
use crate::commands::given_up::Asking;
use crate::commands::lease::{leased, unleased};
use crate::commands::script;
use crate::server_error::{self, Refusal};
use crate::store::Inner;

impl Inner {
    pub(crate) async fn mget_or_lease(
        self: &Arc<Self>,
        keys: &[&str],
        lease: Duration,
        answers: &mut Outcomes<L2Read>,
    ) {
        let mut asking = Asking::many(self, lease);
        for mut chunk in self.chunks(keys.iter().map(|key| (*key, 0)), answers) {
            // 1
            if !self.shared.health.is_cooling() {
                if self.shared.health.mget_first.is_earned() {
                    chunk = self.read_first(keys, chunk, answers).await;
                }
                if !chunk.is_empty() {
                    chunk = self.lease_many(keys, chunk, &mut asking, answers).await;
                }
            }
            // 4
            if !chunk.is_empty() {
                self.read_many(keys, &chunk, answers, unleased).await;
            }
        }
    }

    /// Reads a chunk, and answers what isn't there (or is no string, which `MGET` doesn't tell).
    async fn read_first(&self, keys: &[&str], mut chunk: Vec<usize>, answers: &mut Outcomes<L2Read>) -> Vec<usize> {
        let values = match self.fetch(keys, &chunk).await {
            Ok(values) => values,
            // No right to it, or keys of several slots: the pipeline needs neither.
            Err(error) if error.kind() == StoreErrorKind::Rejected => {
                self.shared.health.mget_first.pay();
                return chunk;
            }
            Err(error) => {
                fail(answers, &chunk, &error);
                return Vec::new();
            }
        };
        let mut values = values.into_iter();
        chunk.retain(|&at| match values.next() {
            Some(Value::Nil) => true,
            Some(value) => {
                answers.put(at, unleased(value));
                false
            }
            None => false,
        });
        if chunk.is_empty() {
            self.shared.health.mget_first.earn()
        } else {
            self.shared.health.mget_first.pay()
        }
        chunk
    }

    /// Reads a chunk or leaves leases, and answers what the server refused to do because it doesn't write just now.
    async fn lease_many<'k>(
        &self,
        keys: &[&'k str],
        mut chunk: Vec<usize>,
        asking: &mut Asking<'k>,
        answers: &mut Outcomes<L2Read>,
    ) -> Vec<usize> {
        let heads: Vec<_> = chunk.iter().map(|_| Head::random(Kind::Lease).to_bytes()).collect();
        let lease = asking.lease();
        let from = asking.sends(chunk.iter().map(|&at| keys[at]).zip(heads.iter().copied()));
        // 2
        let values = if self.shared.health.is_old() {
            None
        } else {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            for (&at, head) in chunk.iter().zip(&heads) {
                pipeline.add_command(self.commands.read_or_lease(keys[at], head, lease));
            }
            let values = self.ask_all(command::LEASE, pipeline).await;
            let is_old = |values: &Vec<Value>| values.iter().any(|v| server_error::of(v) == Some(Refusal::Syntax));
            if values.as_ref().is_ok_and(is_old) {
                self.shared.health.note_old();
                None
            } else {
                Some(values)
            }
        };
        // 3
        let values = match values {
            Some(values) => values,
            None => {
                let args: Vec<[&[u8]; 1]> = heads.iter().map(|head| [&head[..]]).collect();
                let call = |(&at, args)| ScriptCall { key: keys[at], args, ttl: Some(lease) };
                let calls: Vec<_> = chunk.iter().zip(args.iter().map(|args| &args[..])).map(call).collect();
                self.run_many(command::LEASE, &script::READ_OR_LEASE, &calls, None).await
            }
        };
        let values = match values {
            Ok(values) => values,
            Err(error) => {
                asking.failed(from, &error);
                fail(answers, &chunk, &error);
                return Vec::new();
            }
        };
        asking.heard(from);
        if values.iter().all(|value| matches!(value, Value::BulkString(_))) {
            self.shared.health.mget_first.earn();
        }
        let mut outcomes = heads.iter().zip(values);
        chunk.retain(|&at| {
            let Some((head, value)) = outcomes.next() else { return false };
            let refused = server_error::of(&value) == Some(Refusal::Writes);
            if !refused {
                answers.put(at, leased(head, value));
            }
            refused
        });
        chunk
    }
}
