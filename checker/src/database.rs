//! The database that all processes share: a version per key, kept by the parent and asked over a socket.
//!
//! A request is an order and a key, an answer is a version. Answers come in the order of the requests, so that a worker
//! may have as many on their way as it likes.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use anyhow::Context;
use tempfile::TempDir;

use crate::row::Id;
use crate::time;

/// Order: the version now.
pub(crate) const READ: u8 = 0;
/// Order: a new version.
pub(crate) const WRITE: u8 = 1;

pub(crate) struct Database {
    versions: Arc<[AtomicU64]>,
    socket: PathBuf,
    _directory: TempDir,
}

/// A worker asked for a row.
pub(crate) struct Asked {
    pub(crate) process: usize,
    pub(crate) at: u64,
}

impl Database {
    /// A database whose rows are all at version 0. Every read is told to `reads`, where that is wanted.
    pub(crate) fn start(keys: Id, reads: Option<Sender<Asked>>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("accelerator-checker-").tempdir()?;
        let socket = directory.path().join("database");
        let versions: Arc<[AtomicU64]> = (0..keys).map(|_| AtomicU64::new(0)).collect();
        let listener = UnixListener::bind(&socket).context("can't open the socket of the database")?;
        let shared = versions.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (versions, reads) = (shared.clone(), reads.clone());
                // A connection ends with its worker, which is watched elsewhere.
                std::thread::spawn(move || serve(&connection, &versions, reads.as_ref()));
            }
        });
        Ok(Self { versions, socket, _directory: directory })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn versions(&self) -> Arc<[AtomicU64]> {
        self.versions.clone()
    }
}

fn serve(connection: &UnixStream, versions: &[AtomicU64], reads: Option<&Sender<Asked>>) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::with_capacity(1 << 16, connection), BufWriter::new(connection));
    let mut number = [0; 4];
    from.read_exact(&mut number)?;
    let process = u32::from_le_bytes(number) as usize;
    loop {
        let mut request = [0; 5];
        from.read_exact(&mut request)?;
        let [order, id @ ..] = request;
        let row = versions.get(u32::from_le_bytes(id) as usize).ok_or(io::ErrorKind::InvalidData)?;
        let version = if order == WRITE {
            row.fetch_add(1, Ordering::SeqCst) + 1
        } else {
            if let Some(reads) = reads {
                let _ = reads.send(Asked { process, at: time::now() });
            }
            row.load(Ordering::SeqCst)
        };
        to.write_all(&version.to_le_bytes())?;
        if from.buffer().is_empty() {
            to.flush()?;
        }
    }
}
