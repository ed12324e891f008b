//! Batches: one round trip per chunk.

use std::time::Duration;

use accelerator_core::head::{Head, Kind};
use accelerator_core::{Bytes, Filled, L2Read, LeaseToken, StoreResult};
use redis::{Pipeline, Value};

use crate::chunks::{Answers, chunks};
use crate::command::{self, Op, ScriptCall};
use crate::lease::{filled, leased, unleased};
use crate::refusal::{self, Refusal};
use crate::script::{self, Script};
use crate::store::Inner;
use crate::token;

impl Inner {
    pub(crate) async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut answers = Answers::new(keys.len());
        for chunk in self.chunks(keys.iter().map(|key| (*key, 0)), &mut answers) {
            self.read_many(keys, &chunk, &mut answers, |answer| match answer {
                Value::BulkString(string) => Ok(token::plain_read(string)),
                Value::Nil => Ok(None),
                other => Err(refusal::unexpected(command::MGET, &other)),
            })
            .await;
        }
        answers.into_vec(|| refusal::nonsense(command::MGET))
    }

    pub(crate) async fn mset(&self, items: &[(&str, Bytes, Duration)]) -> Vec<StoreResult<()>> {
        let mut answers = Answers::new(items.len());
        for chunk in self.chunks(items.iter().map(|(key, value, _)| (*key, value.len())), &mut answers) {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            for &at in &chunk {
                let (key, value, ttl) = &items[at];
                pipeline.add_command(self.commands.set(key, value, *ttl));
            }
            match self.ask_all(command::SET, pipeline).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, refusal::done(command::SET, &value));
                    }
                }
                Err(error) => answers.fail(&chunk, &error),
            }
        }
        answers.into_vec(|| refusal::nonsense(command::SET))
    }

    pub(crate) async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut answers = Answers::new(keys.len());
        for chunk in self.chunks(keys.iter().map(|key| (*key, 0)), &mut answers) {
            let doomed: Vec<&str> = chunk.iter().map(|&at| keys[at]).collect();
            let answer = self.ask(command::DEL, self.commands.unlink(&doomed)).await;
            match answer.and_then(|answer| refusal::done(command::DEL, &answer)) {
                Ok(()) => chunk.into_iter().for_each(|at| answers.put(at, Ok(()))),
                Err(error) => answers.fail(&chunk, &error),
            }
        }
        answers.into_vec(|| refusal::nonsense(command::DEL))
    }

    /// The steps are those of `get_or_lease`.
    pub(crate) async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut answers = Answers::new(keys.len());
        for chunk in self.chunks(keys.iter().map(|key| (*key, 0)), &mut answers) {
            // 1
            let refused = if self.line.signs.is_cooling() {
                chunk
            } else {
                self.lease_many(keys, chunk, lease, &mut answers).await
            };
            // 4
            if !refused.is_empty() {
                self.read_many(keys, &refused, &mut answers, unleased).await;
            }
        }
        answers.into_vec(|| refusal::nonsense(command::LEASE))
    }

    /// Reads a chunk or leaves leases, and answers what the server refused to do because it doesn't write just now.
    async fn lease_many(
        &self,
        keys: &[&str],
        mut chunk: Vec<usize>,
        lease: Duration,
        answers: &mut Answers<L2Read>,
    ) -> Vec<usize> {
        let heads: Vec<_> = chunk.iter().map(|_| Head::random(Kind::Lease).to_bytes()).collect();
        // 2
        let values = if self.line.signs.is_old() {
            None
        } else {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            for (&at, head) in chunk.iter().zip(&heads) {
                pipeline.add_command(self.commands.read_or_lease(keys[at], head, lease));
            }
            let values = self.ask_all(command::LEASE, pipeline).await;
            let is_old = |values: &Vec<Value>| values.iter().any(|v| refusal::of(v) == Some(Refusal::Syntax));
            if values.as_ref().is_ok_and(is_old) {
                self.line.signs.note_old();
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
                self.run_many(command::LEASE, &script::READ_OR_LEASE, &calls).await
            }
        };
        let values = match values {
            Ok(values) => values,
            Err(error) => {
                answers.fail(&chunk, &error);
                return Vec::new();
            }
        };
        let mut outcomes = heads.iter().zip(values);
        chunk.retain(|&at| {
            let Some((head, value)) = outcomes.next() else { return false };
            let refused = refusal::of(&value) == Some(Refusal::Writes);
            if !refused {
                answers.put(at, leased(head, value));
            }
            refused
        });
        chunk
    }

    pub(crate) async fn mfill(&self, items: &[(&str, LeaseToken, Bytes, Duration)]) -> Vec<StoreResult<Filled>> {
        let mut answers = Answers::new(items.len());
        for mut chunk in self.chunks(items.iter().map(|(key, _, value, _)| (*key, value.len())), &mut answers) {
            let mut args: Vec<[&[u8]; 2]> = Vec::with_capacity(chunk.len());
            let cooling = self.line.signs.is_cooling();
            chunk.retain(|&at| {
                let (_, token, value, _) = &items[at];
                match token::seen(token) {
                    Some(seen) if !cooling => {
                        args.push([seen, value]);
                        return true;
                    }
                    Some(_) => answers.put(at, Ok(Filled::Refused)),
                    None => answers.put(at, Ok(Filled::Lost)),
                }
                false
            });
            let mut calls = Vec::with_capacity(chunk.len());
            for (&at, args) in chunk.iter().zip(&args) {
                let (key, .., ttl) = &items[at];
                calls.push(ScriptCall { key, args, ttl: Some(*ttl) });
            }
            if calls.is_empty() {
                continue;
            }
            match self.run_many(command::FILL, &script::FILL, &calls).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, filled(&value));
                    }
                }
                Err(error) => answers.fail(&chunk, &error),
            }
        }
        answers.into_vec(|| refusal::nonsense(command::FILL))
    }

    /// One `MGET`, each of whose answers is read by `read`.
    async fn read_many<T>(
        &self,
        keys: &[&str],
        chunk: &[usize],
        answers: &mut Answers<T>,
        read: impl Fn(Value) -> StoreResult<T>,
    ) {
        let asked: Vec<&str> = chunk.iter().map(|&at| keys[at]).collect();
        match self.ask(command::MGET, self.commands.mget(&asked)).await {
            Ok(Value::Array(values)) if values.len() == chunk.len() => {
                for (&at, value) in chunk.iter().zip(values) {
                    answers.put(at, read(value));
                }
            }
            Ok(other) => answers.fail(chunk, &refusal::unexpected(command::MGET, &other)),
            Err(error) => answers.fail(chunk, &error),
        }
    }

    /// Runs a script for many keys. A server that doesn't know it is told by the first call that it didn't carry out;
    /// the others follow it by the hash.
    async fn run_many(&self, op: Op, script: &Script, calls: &[ScriptCall<'_>]) -> StoreResult<Vec<Value>> {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in calls {
            pipeline.add_command(self.commands.script(script, false, call));
        }
        let mut values = self.ask_all(op, pipeline).await?;
        let unknown = |value: &Value| refusal::of(value) == Some(Refusal::NoScript);
        let missed: Vec<usize> = (0..calls.len()).filter(|&at| unknown(&values[at])).collect();
        if missed.is_empty() {
            return Ok(values);
        }
        let mut pipeline = Pipeline::with_capacity(missed.len());
        for (n, &at) in missed.iter().enumerate() {
            pipeline.add_command(self.commands.script(script, n == 0, &calls[at]));
        }
        for (at, value) in missed.into_iter().zip(self.ask_all(op, pipeline).await?) {
            values[at] = value;
        }
        Ok(values)
    }

    /// The positions of what can be sent, in chunks; what is too large is answered here.
    fn chunks<'a, T>(
        &self,
        items: impl Iterator<Item = (&'a str, usize)>,
        answers: &mut Answers<T>,
    ) -> Vec<Vec<usize>> {
        chunks(items.enumerate().filter_map(|(at, (key, value))| match self.check(key, value) {
            Ok(()) => Some((at, value)),
            Err(error) => {
                answers.put(at, Err(error));
                None
            }
        }))
    }
}
