//! Leases, for one key.
//!
//! Reading: 1 is the server writing at all just now? · 2 read or leave a lease, in one command · 3 a server too old for
//! it gets a script · 4 a server that refuses to write is only read

use std::sync::Arc;
use std::time::Duration;

use accelerator_core::head::{HEAD_LEN, Head, Kind};
use accelerator_core::{Filled, L2Read, LeaseToken, StoreResult};
use redis::Value;

use crate::commands::command::{self, Op, ScriptCall};
use crate::commands::given_up::Asking;
use crate::commands::script::{self, Script};
use crate::server_error::{self, Refusal};
use crate::store::Inner;
use crate::token;

impl Inner {
    pub(crate) async fn get_or_lease(self: &Arc<Self>, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.check(key, 0)?;
        // 1
        if self.shared.health.is_cooling() {
            return self.read_without_lease(key).await;
        }
        // The nonce is this attempt's own: with one that is used again, a fill that comes late would look like ours.
        let head = Head::random(Kind::Lease).to_bytes();
        let mut asking = Asking::one(self, lease, key, head);
        let answer = match self.read_or_lease(key, &head, lease).await {
            Ok(answer) => answer,
            Err(error) => {
                asking.failed(0, &error);
                return Err(error);
            }
        };
        asking.answered();
        match server_error::of(&answer) {
            Some(Refusal::Writes) => self.read_without_lease(key).await,
            _ => leased(&head, answer),
        }
    }

    async fn read_or_lease(&self, key: &str, head: &[u8; HEAD_LEN], lease: Duration) -> StoreResult<Value> {
        // 2
        if !self.shared.health.is_old() {
            let answer = self.ask(command::LEASE, self.commands.read_or_lease(key, head, lease)).await?;
            if server_error::of(&answer) != Some(Refusal::Syntax) {
                return Ok(answer);
            }
            self.shared.health.note_old();
        }
        // 3
        let call = ScriptCall { key, args: &[head], ttl: Some(lease) };
        self.run(command::LEASE, &script::READ_OR_LEASE, &call).await
    }

    // 4
    async fn read_without_lease(&self, key: &str) -> StoreResult<L2Read> {
        unleased(self.ask(command::GET, self.commands.get(key)).await?)
    }

    pub(crate) async fn fill(&self, key: &str, token: &LeaseToken, value: &[u8], ttl: Duration) -> StoreResult<Filled> {
        self.check(key, value.len())?;
        let Some(seen) = token::seen(token) else { return Ok(Filled::Lost) };
        if self.shared.health.is_cooling() {
            return Ok(Filled::Refused);
        }
        let call = ScriptCall { key, args: &[seen, value], ttl: Some(ttl) };
        let answer = self.run(command::FILL, &script::FILL, &call).await?;
        filled(&answer)
    }

    pub(crate) async fn renew(
        &self,
        key: &str,
        token: &LeaseToken,
        lease: Duration,
    ) -> StoreResult<Option<LeaseToken>> {
        self.check(key, 0)?;
        let Some(head) = token::lease(token) else { return Ok(None) };
        let call = ScriptCall { key, args: &[head], ttl: Some(lease) };
        let answer = self.run(command::RENEW, &script::RENEW, &call).await?;
        renewed(&answer).map(|stands| stands.then_some(*token))
    }

    pub(crate) async fn release(&self, key: &str, token: &LeaseToken) -> StoreResult<()> {
        self.check(key, 0)?;
        let Some(seen) = token::seen(token) else { return Ok(()) };
        let call = ScriptCall { key, args: &[seen], ttl: None };
        let answer = self.run(command::RELEASE, &script::RELEASE, &call).await?;
        server_error::done(command::RELEASE, &answer)
    }

    /// Runs a script by its hash. A server that doesn't know it is told once.
    pub(crate) async fn run(&self, op: Op, script: &Script, call: &ScriptCall<'_>) -> StoreResult<Value> {
        let answer = self.ask(op, self.commands.script(script, false, call)).await?;
        match server_error::of(&answer) {
            Some(Refusal::NoScript) => self.ask(op, self.commands.script(script, true, call)).await,
            _ => Ok(answer),
        }
    }
}

/// The answer of a read that leaves `head` where nothing was.
pub(crate) fn leased(head: &[u8; HEAD_LEN], answer: Value) -> StoreResult<L2Read> {
    match answer {
        Value::Nil => Ok(L2Read::Leased { token: token::token(head), stale: None }),
        Value::BulkString(string) => Ok(token::leased_read(string)),
        other => Err(server_error::unexpected(command::LEASE, &other)),
    }
}

/// The answer of a read that leaves nothing.
pub(crate) fn unleased(answer: Value) -> StoreResult<L2Read> {
    match answer {
        Value::Nil => Ok(L2Read::NoLease),
        Value::BulkString(string) => Ok(token::leased_read(string)),
        other => Err(server_error::unexpected(command::GET, &other)),
    }
}

/// Whether a lease stands, and goes on.
pub(crate) fn renewed(answer: &Value) -> StoreResult<bool> {
    match answer {
        Value::Int(stands) => Ok(*stands == 1),
        other => Err(server_error::unexpected(command::RENEW, other)),
    }
}

/// What became of a fill.
pub(crate) fn filled(answer: &Value) -> StoreResult<Filled> {
    match (answer, server_error::of(answer)) {
        (Value::Int(1), _) => Ok(Filled::Stored),
        (Value::Int(0), _) => Ok(Filled::Lost),
        (_, Some(Refusal::Writes)) => Ok(Filled::Refused),
        (other, _) => Err(server_error::unexpected(command::FILL, other)),
    }
}
