//! A message of the bus that goes behind a write: the server carries out what one connection sends in order, so nobody has
//! the message before the write is done, and both take one round trip.
//!
//! A server that doesn't know the script of a write carries out what stands behind it all the same. So a message goes
//! behind scripts that this server has run before, and else after their answer. (A server that has forgotten one
//! meanwhile, by `SCRIPT FLUSH`, publishes too early once; then the message is sent again behind the script in full.)

use accelerator_core::StoreResult;
use redis::{Cmd, Pipeline, Value};

use crate::bus::published;
use crate::commands::command::{Op, PUBLISH};
use crate::server_error;
use crate::store::Inner;

pub(crate) struct News<'a> {
    inner: &'a Inner,
    publish: Cmd,
    /// What the server said of it, the last time.
    answer: Option<StoreResult<()>>,
}

impl<'a> News<'a> {
    pub(crate) fn new(inner: &'a Inner, topic: &str, message: &[u8]) -> Self {
        Self { inner, publish: inner.commands.publish(&inner.channel(topic), message), answer: None }
    }

    /// What became of it. Where no write took it along, it is sent now.
    pub(crate) async fn told(self) -> StoreResult<()> {
        match self.answer {
            Some(answer) => answer,
            None => published(&self.inner.ask(PUBLISH, self.publish).await?),
        }
    }
}

impl Inner {
    /// [`ask_all`](Self::ask_all), with this message behind.
    pub(crate) async fn ask_all_then(
        &self,
        op: Op,
        mut commands: Pipeline,
        news: Option<&mut News<'_>>,
    ) -> StoreResult<Vec<Value>> {
        let Some(news) = news else { return self.ask_all(op, commands).await };
        commands.add_command(news.publish.clone());
        let mut answers = self.ask_all(op, commands).await?;
        let answer = answers.pop().ok_or_else(|| server_error::nonsense(op))?;
        news.answer = Some(published(&answer));
        Ok(answers)
    }
}
