//! A worker's connection to the database.

use std::path::Path;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::database::{READ, WRITE};
use crate::row::Id;

type Answer = oneshot::Sender<u64>;
type Request = (u8, Id, Answer);

/// Cheap to clone; requests of all clones share one connection.
#[derive(Clone)]
pub(crate) struct Client(mpsc::UnboundedSender<Request>);

impl Client {
    pub(crate) async fn connect(socket: &Path, process: usize) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await.context("can't reach the database")?;
        let (from, mut to) = stream.into_split();
        to.write_all(&u32::try_from(process)?.to_le_bytes()).await?;
        let (requests, queue) = mpsc::unbounded_channel();
        let (waiting, answers) = mpsc::unbounded_channel();
        tokio::spawn(write(to, queue, waiting));
        tokio::spawn(read(from, answers));
        Ok(Self(requests))
    }

    /// The version of the row now.
    pub(crate) async fn read(&self, id: Id) -> u64 {
        self.ask(READ, id).await
    }

    /// Changes the row; its new version.
    pub(crate) async fn write(&self, id: Id) -> u64 {
        self.ask(WRITE, id).await
    }

    async fn ask(&self, order: u8, id: Id) -> u64 {
        let (answer, version) = oneshot::channel();
        // A connection that has ended has dropped its queue, and so the answer.
        let _ = self.0.send((order, id, answer));
        match version.await {
            Ok(version) => version,
            // The parent is gone, and this process has nothing left to do.
            Err(_) => std::process::exit(3),
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Request>,
    waiting: mpsc::UnboundedSender<Answer>,
) {
    let mut bytes = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some((order, id, answer)) = next {
            bytes.push(order);
            bytes.extend_from_slice(&id.to_le_bytes());
            // Before the request leaves: the reader must know whom the answer is for.
            let _ = waiting.send(answer);
            next = queue.try_recv().ok();
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
    }
}

async fn read(from: OwnedReadHalf, mut answers: mpsc::UnboundedReceiver<Answer>) {
    let mut from = BufReader::new(from);
    while let Ok(version) = from.read_u64_le().await {
        let Some(answer) = answers.recv().await else { return };
        // Who asked may have been cancelled.
        let _ = answer.send(version);
    }
}
