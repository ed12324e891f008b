//! Holds, and the writes that leave them standing.
//!
//! A held key is the string `head | (owner[8] end[16])..`: the ends are milliseconds of the server's own clock, in
//! decimal digits. Whoever writes the key looks at its first two bytes first, in one script with the write.
//!
//! A user of the server who may not run scripts can't hold a key either: `set` and `del` are plain commands then, and
//! would end the holds of others (said once, by a warning).

use std::time::Duration;

use accelerator_core::head::{Head, Kind};
use accelerator_core::{HoldOwner, StoreError, StoreErrorKind, StoreResult};
use redis::{Cmd, Pipeline, Value};

use crate::commands::command::{self, Op, ScriptCall};
use crate::commands::news::News;
use crate::commands::script::{self, Script};
use crate::server_error;
use crate::store::Inner;

impl Inner {
    pub(crate) async fn set(&self, key: &str, value: &[u8], ttl: Duration) -> StoreResult<()> {
        self.check(key, value.len())?;
        let call = ScriptCall { key, args: &[value], ttl: Some(ttl) };
        let plain = || self.commands.set(key, value, ttl);
        stored(&self.run_or(command::SET, &script::SET, &call, plain).await?)
    }

    pub(crate) async fn del(&self, key: &str) -> StoreResult<()> {
        self.check(key, 0)?;
        let call = ScriptCall { key, args: &[], ttl: None };
        let plain = || self.commands.unlink(key);
        server_error::done(command::DEL, &self.run_or(command::DEL, &script::DELETE, &call, plain).await?)
    }

    pub(crate) async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.check(key, 0)?;
        let head = Head { kind: Kind::Hold, nonce: owner.0 }.to_bytes();
        let call = ScriptCall { key, args: &[&head, &owner.0.to_le_bytes()], ttl: Some(hold) };
        match self.run(command::HOLD, &script::HOLD, &call).await? {
            Value::Int(0) => Err(StoreError::new(StoreErrorKind::Rejected, "hold: too many writers hold the key")),
            answer => server_error::done(command::HOLD, &answer),
        }
    }

    pub(crate) async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.check(key, 0)?;
        let call = ScriptCall { key, args: &[&owner.0.to_le_bytes()], ttl: None };
        server_error::done(command::UNHOLD, &self.run(command::UNHOLD, &script::UNHOLD, &call).await?)
    }

    /// Runs a script, or where the server runs none for us, the plain command.
    async fn run_or(
        &self,
        op: Op,
        script: &Script,
        call: &ScriptCall<'_>,
        plain: impl FnOnce() -> Cmd,
    ) -> StoreResult<Value> {
        let health = &self.shared.health;
        if health.is_scriptless() {
            return self.ask(op, plain()).await;
        }
        let answer = self.run(op, script, call).await?;
        if !server_error::is_of_scripts(&answer) {
            return Ok(answer);
        }
        let answer = self.ask(op, plain()).await?;
        self.note_plain(&answer);
        Ok(answer)
    }

    /// [`run_or`](Self::run_or) for many calls, each of which has its answer.
    pub(crate) async fn run_many_or(
        &self,
        op: Op,
        script: &Script,
        calls: &[ScriptCall<'_>],
        plain: impl Fn(&ScriptCall<'_>) -> Cmd,
        mut news: Option<&mut News<'_>>,
    ) -> StoreResult<Vec<Value>> {
        let all = |calls: &mut dyn Iterator<Item = &ScriptCall<'_>>| {
            calls.fold(Pipeline::with_capacity(8), |mut pipeline, call| {
                pipeline.add_command(plain(call));
                pipeline
            })
        };
        if self.shared.health.is_scriptless() {
            return self.ask_all_then(op, all(&mut calls.iter()), news).await;
        }
        let mut values = self.run_many(op, script, calls, news.as_deref_mut()).await?;
        let refused: Vec<usize> = (0..calls.len()).filter(|&at| server_error::is_of_scripts(&values[at])).collect();
        if !refused.is_empty() {
            let answers = self.ask_all_then(op, all(&mut refused.iter().map(|&at| &calls[at])), news).await?;
            for (at, answer) in refused.into_iter().zip(answers) {
                self.note_plain(&answer);
                values[at] = answer;
            }
        }
        Ok(values)
    }

    /// A plain command was answered whose script was refused.
    fn note_plain(&self, answer: &Value) {
        if server_error::of(answer).is_none() && self.shared.health.note_scriptless() {
            tracing::warn!(
                target: "accelerator::l2",
                "Redis runs no scripts for this user, so its writes and deletes end the holds of write guards; it needs {}",
                command::HOLD.rights
            );
        }
    }
}

/// The answer to a `set`.
pub(crate) fn stored(answer: &Value) -> StoreResult<()> {
    match answer {
        Value::Int(0) => Err(StoreError::held()),
        answer => server_error::done(command::SET, answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_know_the_first_bytes_of_a_hold() {
        let [magic, kind, ..] = Head { kind: Kind::Hold, nonce: 0 }.to_bytes();
        let mark = format!("'\\{magic}\\{kind}'");
        for script in [&script::SET, &script::DELETE, &script::HOLD, &script::UNHOLD] {
            assert!(script.code.contains(&mark), "{mark} in {}", script.code);
        }
    }
}
