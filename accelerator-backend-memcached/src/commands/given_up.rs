//! Leases that may have been granted to reads that were given up: they are given back.
//!
//! 1 a read is dropped while its replies are on their way · 2 a task goes on reading them, for a while · 3 the leases among
//! them are deleted, by their CAS numbers, over the same connection · 4 in step again, the connection goes back
//!
//! What has come of a batch before that is its caller's.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::commands::command::Command;
use crate::commands::reply::Reply;
use crate::connection::Connection;
use crate::connection::server::{Lent, Server};
use crate::settings::Settings;

/// How long the replies of a read that was given up are waited for. A lease that comes later ends by itself.
const LONGEST_DRAIN: Duration = Duration::from_secs(5);

/// An exchange that is under way over a connection.
pub(crate) struct Asked<'c> {
    lent: Option<Lent>,
    commands: &'c [Command<'c>],
    settings: &'c Arc<Settings>,
}

/// A lease: its key, and its CAS number.
type Lease = (Box<str>, u64);

impl<'c> Asked<'c> {
    pub(crate) fn new(lent: Lent, commands: &'c [Command<'c>], settings: &'c Arc<Settings>) -> Self {
        Self { lent: Some(lent), commands, settings }
    }

    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        self.lent.as_mut().map(Lent::connection)
    }

    /// It has come to its end, whatever that is.
    pub(crate) fn ends(mut self) -> Option<Lent> {
        self.lent.take()
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        // 1
        let Some(mut lent) = self.lent.take() else { return };
        let unanswered = lent.connection().unanswered();
        let leases = unanswered.clone().filter_map(|at| self.commands.get(at)).any(Command::leases);
        let (true, Ok(runtime)) = (leases, Handle::try_current()) else { return };
        let Some((server, connection)) = lent.keep_reading() else { return };
        let keys = unanswered.map(|at| self.commands.get(at).filter(|command| command.leases()));
        let keys = keys.map(|command| command.map(|command| command.key().into())).collect();
        runtime.spawn(drain(Draining { server, connection: Some(connection) }, keys, self.settings.clone()));
    }
}

/// A connection that is read to the end of what was asked.
struct Draining {
    server: Arc<Server>,
    // Empty only while it is dropped.
    connection: Option<Box<Connection>>,
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // 4
            self.server.take_back(connection);
        }
        self.server.drained();
    }
}

/// `keys`: of each command without a reply, where it may bring a lease.
async fn drain(mut draining: Draining, keys: Vec<Option<Box<str>>>, settings: Arc<Settings>) {
    let Some(connection) = &mut draining.connection else { return };
    let (mut leases, mut keys) = (Vec::new(), keys.into_iter());
    let (prefix, limit) = (&settings.key_prefix, settings.max_value_bytes);
    let reading = async {
        // 2
        connection
            .drain(limit, |reply| leases.extend(keys.next().flatten().and_then(|key| lease(key, &reply))))
            .await?;
        // 3
        let deletes: Vec<_> = leases.iter().map(|(key, cas)| Command::Delete { key, cas: Some(*cas) }).collect();
        connection.exchange(prefix, &deletes, limit, drop).await
    };
    // What is not given back by then ends by itself.
    let _ = timeout(LONGEST_DRAIN, reading).await;
}

fn lease(key: Box<str>, reply: &Reply) -> Option<Lease> {
    (reply.won && reply.cas > 0).then_some((key, reply.cas))
}
