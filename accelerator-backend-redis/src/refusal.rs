//! What the server says when it doesn't do what it is told.

use accelerator_core::{StoreError, StoreErrorKind};
use redis::{RedisError, ServerError, Value};

use crate::command::Op;

/// The longest part of a server's own words that an error repeats.
const WORDS: usize = 200;

/// Classes of refusals that are answered by more than an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Out of memory, a replica, too few replicas, or a disk that is full: nothing is written for now.
    Writes,
    /// Too old for `SET .. NX GET`.
    Syntax,
    /// The script must be told in full.
    NoScript,
    /// The server isn't ready, or doesn't take more clients.
    Away,
    /// A name or password is missing or wrong.
    Login,
    /// The user lacks a right.
    Right,
    /// The key is on another server.
    Elsewhere,
    /// Anything else.
    Other,
}

/// The class of what the server said. Before 7.0 what happens inside of a script is text behind `ERR`.
pub(crate) fn class(error: &ServerError) -> Refusal {
    let details = error.details().unwrap_or_default();
    match error.code() {
        "OOM" | "READONLY" | "NOREPLICAS" | "MISCONF" => Refusal::Writes,
        "NOSCRIPT" => Refusal::NoScript,
        "LOADING" | "MASTERDOWN" | "BUSY" | "CLUSTERDOWN" | "TRYAGAIN" => Refusal::Away,
        "NOAUTH" | "WRONGPASS" => Refusal::Login,
        "NOPERM" => Refusal::Right,
        "MOVED" | "ASK" | "CROSSSLOT" => Refusal::Elsewhere,
        "ERR" if details.starts_with("syntax error") => Refusal::Syntax,
        "ERR" if details.starts_with("max number of clients") => Refusal::Away,
        "ERR" if details.contains("The user executing the script can't") => Refusal::Right,
        "ERR" if details.contains("Error running script") => in_script(details),
        _ => Refusal::Other,
    }
}

fn in_script(details: &str) -> Refusal {
    let says = |text| details.contains(text);
    if says("OOM command") || says("READONLY") || says("read only") || says("NOREPLICAS") || says("MISCONF") {
        Refusal::Writes
    } else if says("can't run this command") || says("NOPERM") {
        Refusal::Right
    } else {
        Refusal::Other
    }
}

/// Whether the server has become a replica: its name may lead to another by now.
pub(crate) fn is_replica(error: &ServerError) -> bool {
    matches!(error.code(), "READONLY" | "MASTERDOWN")
}

/// A refusal as the error of `op`.
pub(crate) fn error(op: Op, error: &ServerError) -> StoreError {
    let (name, said) = (op.name, words(error));
    let (kind, context) = match class(error) {
        Refusal::Away => (StoreErrorKind::Unavailable, format!("{name}: the server isn't ready: {said}")),
        Refusal::Login => {
            (StoreErrorKind::Rejected, format!("{name}: the server wants other credentials in the URL: {said}"))
        }
        Refusal::Right => {
            let rights = op.rights;
            (StoreErrorKind::Rejected, format!("{name}: the user lacks a right; it needs {rights}: {said}"))
        }
        Refusal::Elsewhere => {
            let context = format!("{name}: the server is part of a cluster, which this store doesn't know: {said}");
            (StoreErrorKind::Rejected, context)
        }
        _ => (StoreErrorKind::Rejected, format!("{name}: the server refused: {said}")),
    };
    StoreError::new(kind, context)
}

/// The server's words, without the arguments (keys among them) that it repeats of commands it doesn't know.
fn words(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    let details = details.split(", with args").next().unwrap_or_default();
    let text = format!("{} {details}", error.code());
    text.chars().take(WORDS).collect::<String>().trim_end().to_owned()
}

/// An answer that the command can't have.
pub(crate) fn nonsense(op: Op) -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, format!("{}: an answer that makes no sense", op.name))
}

/// An answer that is neither what was asked for nor a refusal that means something else.
pub(crate) fn unexpected(op: Op, answer: &Value) -> StoreError {
    match answer {
        Value::ServerError(said) => error(op, said),
        _ => nonsense(op),
    }
}

/// A connection that ended before the answer came.
pub(crate) fn broken(op: Op, source: RedisError) -> StoreError {
    let kind = if source.kind() == redis::ErrorKind::Parse {
        // The text of a parser may repeat what it has read.
        return nonsense(op);
    } else {
        StoreErrorKind::Unavailable
    };
    StoreError::new(kind, format!("{}: the connection ended", op.name)).with_source(source)
}

/// The same error again, for the next key of a batch.
pub(crate) fn again(error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), error.to_string())
}
