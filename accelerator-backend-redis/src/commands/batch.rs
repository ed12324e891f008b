//! Batches: one round trip per chunk.

use std::time::Duration;

use accelerator_core::{Bytes, Filled, LeaseToken, Outcomes, StoreResult};
use redis::{Pipeline, Value};

use crate::commands::chunks::{chunks, fail};
use crate::commands::command::{self, Op, ScriptCall};
use crate::commands::hold::stored;
use crate::commands::lease::{filled, renewed};
use crate::commands::news::News;
use crate::commands::script::{self, Script};
use crate::server_error::{self, Refusal};
use crate::store::Inner;
use crate::token;

impl Inner {
    pub(crate) async fn mget(&self, keys: &[&str], answers: &mut Outcomes<Option<Bytes>>) {
        for chunk in self.chunks(keys.iter().map(|key| (*key, 0)), answers) {
            self.read_many(keys, &chunk, answers, |answer| match answer {
                Value::BulkString(string) => Ok(token::plain_read(string)),
                Value::Nil => Ok(None),
                other => Err(server_error::unexpected(command::MGET, &other)),
            })
            .await;
        }
    }

    /// `news`: behind the last of them.
    pub(crate) async fn mset(
        &self,
        items: &[(&str, Bytes, Duration)],
        mut news: Option<&mut News<'_>>,
        answers: &mut Outcomes<()>,
    ) {
        let chunks = self.chunks(items.iter().map(|(key, value, _)| (*key, value.len())), answers);
        let last = chunks.len().saturating_sub(1);
        for (n, chunk) in chunks.into_iter().enumerate() {
            let news = news.as_deref_mut().filter(|_| n == last);
            let args: Vec<[&[u8]; 1]> = chunk.iter().map(|&at| [&items[at].1[..]]).collect();
            let mut calls = Vec::with_capacity(chunk.len());
            for (&at, args) in chunk.iter().zip(&args) {
                let (key, _, ttl) = &items[at];
                calls.push(ScriptCall { key, args, ttl: Some(*ttl) });
            }
            let plain = |call: &ScriptCall<'_>| self.commands.set(call.key, call.args[0], call.ttl.unwrap_or_default());
            match self.run_many_or(command::SET, &script::SET, &calls, plain, news).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, stored(&value));
                    }
                }
                Err(error) => fail(answers, &chunk, &error),
            }
        }
    }

    /// `news`: behind the last of them.
    pub(crate) async fn mdel(&self, keys: &[&str], mut news: Option<&mut News<'_>>, answers: &mut Outcomes<()>) {
        let chunks = self.chunks(keys.iter().map(|key| (*key, 0)), answers);
        let last = chunks.len().saturating_sub(1);
        for (n, chunk) in chunks.into_iter().enumerate() {
            let news = news.as_deref_mut().filter(|_| n == last);
            let calls: Vec<_> = chunk.iter().map(|&at| ScriptCall { key: keys[at], args: &[], ttl: None }).collect();
            let plain = |call: &ScriptCall<'_>| self.commands.unlink(call.key);
            match self.run_many_or(command::DEL, &script::DELETE, &calls, plain, news).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, server_error::done(command::DEL, &value));
                    }
                }
                Err(error) => fail(answers, &chunk, &error),
            }
        }
    }

    pub(crate) async fn mfill(&self, items: &[(&str, LeaseToken, Bytes, Duration)], answers: &mut Outcomes<Filled>) {
        for mut chunk in self.chunks(items.iter().map(|(key, _, value, _)| (*key, value.len())), answers) {
            let mut args: Vec<[&[u8]; 2]> = Vec::with_capacity(chunk.len());
            let cooling = self.shared.health.is_cooling();
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
            match self.run_many(command::FILL, &script::FILL, &calls, None).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, filled(&value));
                    }
                }
                Err(error) => fail(answers, &chunk, &error),
            }
        }
    }

    pub(crate) async fn mrenew(
        &self,
        items: &[(&str, LeaseToken)],
        lease: Duration,
    ) -> Vec<StoreResult<Option<LeaseToken>>> {
        let mut answers = Outcomes::new(items.len());
        for mut chunk in self.chunks(items.iter().map(|(key, _)| (*key, 0)), &mut answers) {
            let mut args: Vec<[&[u8]; 1]> = Vec::with_capacity(chunk.len());
            chunk.retain(|&at| match token::lease(&items[at].1) {
                Some(head) => {
                    args.push([head]);
                    true
                }
                None => {
                    answers.put(at, Ok(None));
                    false
                }
            });
            if chunk.is_empty() {
                continue;
            }
            let calls = chunk.iter().zip(&args);
            let calls: Vec<_> =
                calls.map(|(&at, args)| ScriptCall { key: items[at].0, args, ttl: Some(lease) }).collect();
            match self.run_many(command::RENEW, &script::RENEW, &calls, None).await {
                Ok(values) => {
                    for (at, value) in chunk.into_iter().zip(values) {
                        answers.put(at, renewed(&value).map(|stands| stands.then_some(items[at].1)));
                    }
                }
                Err(error) => fail(&mut answers, &chunk, &error),
            }
        }
        answers.into_vec(|| server_error::nonsense(command::RENEW))
    }

    /// One `MGET`, each of whose answers is read by `read`.
    pub(crate) async fn read_many<T>(
        &self,
        keys: &[&str],
        chunk: &[usize],
        answers: &mut Outcomes<T>,
        read: impl Fn(Value) -> StoreResult<T>,
    ) {
        match self.fetch(keys, chunk).await {
            Ok(values) => chunk.iter().zip(values).for_each(|(&at, value)| answers.put(at, read(value))),
            Err(error) => fail(answers, chunk, &error),
        }
    }

    /// One `MGET`: a value per key of the chunk.
    pub(crate) async fn fetch(&self, keys: &[&str], chunk: &[usize]) -> StoreResult<Vec<Value>> {
        let asked: Vec<&str> = chunk.iter().map(|&at| keys[at]).collect();
        match self.ask(command::MGET, self.commands.mget(&asked)).await? {
            Value::Array(values) if values.len() == chunk.len() => Ok(values),
            other => Err(server_error::unexpected(command::MGET, &other)),
        }
    }

    /// Runs a script for many keys. A server that doesn't know it is told by the first call that it didn't carry out;
    /// the others follow it by the hash.
    pub(crate) async fn run_many(
        &self,
        op: Op,
        script: &Script,
        calls: &[ScriptCall<'_>],
        news: Option<&mut News<'_>>,
    ) -> StoreResult<Vec<Value>> {
        let mut news = news.filter(|_| self.shared.health.knows(script.number));
        let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
        for call in calls {
            pipeline.add_command(self.commands.script(script, false, call));
        }
        let mut values = self.ask_all_then(op, pipeline, news.as_deref_mut()).await?;
        let unknown = |value: &Value| server_error::of(value) == Some(Refusal::NoScript);
        let missed: Vec<usize> = (0..calls.len()).filter(|&at| unknown(&values[at])).collect();
        if missed.is_empty() {
            self.shared.health.note_known(script.number);
            return Ok(values);
        }
        let mut pipeline = Pipeline::with_capacity(missed.len() + 1);
        for (n, &at) in missed.iter().enumerate() {
            pipeline.add_command(self.commands.script(script, n == 0, &calls[at]));
        }
        for (at, value) in missed.into_iter().zip(self.ask_all_then(op, pipeline, news).await?) {
            values[at] = value;
        }
        Ok(values)
    }

    /// The positions of what can be sent, in chunks; what is too large is answered here.
    pub(crate) fn chunks<'a, T>(
        &self,
        items: impl Iterator<Item = (&'a str, usize)>,
        answers: &mut Outcomes<T>,
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
