//! What the server says when it doesn't do what it is told.

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::{RedisError, ServerError, Value};

use crate::commands::command::Op;

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

/// The class of an answer that is a refusal.
pub(crate) fn of(answer: &Value) -> Option<Refusal> {
    if let Value::ServerError(said) = answer { Some(class(said)) } else { None }
}

/// Whether scripts are not for us: the user lacks the right to run one (or to what is in it), or the server knows none.
pub(crate) fn is_of_scripts(answer: &Value) -> bool {
    let Value::ServerError(said) = answer else { return false };
    class(said) == Refusal::Right || said.details().is_some_and(|details| details.starts_with("unknown command"))
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
        // 7.2 and later; 7.0 and before.
        "ERR" if details.starts_with("ACL failure in script") => Refusal::Right,
        "ERR" if details.contains("The user executing the script can't run this command") => Refusal::Right,
        "ERR" if details.starts_with("Error running script") => in_script(details),
        _ => Refusal::Other,
    }
}

/// Before 7.0 the code stands where the script failed, behind a minus.
fn in_script(details: &str) -> Refusal {
    let refused = ["-OOM ", "-READONLY ", "-NOREPLICAS ", "-MISCONF "].iter().any(|code| details.contains(code));
    if refused { Refusal::Writes } else { Refusal::Other }
}

/// Whether the server has become a replica: its name may lead to another by now.
pub(crate) fn is_replica(error: &ServerError) -> bool {
    matches!(error.code(), "READONLY" | "MASTERDOWN")
}

/// A refusal as the error of `op`.
pub(crate) fn error(op: Op, error: &ServerError) -> StoreError {
    error_in(op, error, &words(error))
}

/// [`error`] in other words than the server's own.
pub(crate) fn error_in(op: Op, error: &ServerError, said: &str) -> StoreError {
    let name = op.name;
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

/// The answer to a write that has nothing to tell.
pub(crate) fn done(op: Op, answer: &Value) -> StoreResult<()> {
    match answer {
        Value::Okay | Value::Int(_) => Ok(()),
        refused => Err(unexpected(op, refused)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> ServerError {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(said)) => said,
            other => panic!("{line:?} is read as {other:?}"),
        }
    }

    #[test]
    fn refusals_are_told_apart_in_the_words_of_all_versions() {
        let script = "Error running script (call to f_29150ea0): @user_script:1: @user_script: 1: ";
        let old = |text: &str| format!("ERR {script}{text}");
        let expected = [
            // 7.0.15
            ("OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.", Refusal::Writes),
            ("READONLY You can't write against a read only replica.", Refusal::Writes),
            ("NOREPLICAS Not enough good replicas to write.", Refusal::Writes),
            ("MISCONF Redis is configured to save RDB snapshots, but ..", Refusal::Writes),
            ("NOSCRIPT No matching script. Please use EVAL.", Refusal::NoScript),
            ("LOADING Redis is loading the dataset in memory", Refusal::Away),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Refusal::Away),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Refusal::Away),
            ("ERR max number of clients reached", Refusal::Away),
            ("NOAUTH Authentication required.", Refusal::Login),
            ("WRONGPASS invalid username-password pair or user is disabled.", Refusal::Login),
            ("NOPERM this user has no permissions to run the 'get' command", Refusal::Right),
            ("ERR The user executing the script can't run this command or subcommand script: 1", Refusal::Right),
            ("ERR syntax error", Refusal::Syntax),
            ("MOVED 3999 127.0.0.1:6381", Refusal::Elsewhere),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Refusal::Other),
            // 8.2.3
            ("ERR ACL failure in script: User u has no permissions to run the 'get' command script: 1", Refusal::Right),
            // 6.2.5
            (&old("-OOM command not allowed when used memory > 'maxmemory'."), Refusal::Writes),
            (&old("-READONLY You can't write against a read only replica."), Refusal::Writes),
            (&old("-MISCONF Redis is configured to save RDB snapshots, but .."), Refusal::Writes),
            (&old("The user executing the script can't run this command or subcommand"), Refusal::Right),
            (&old("WRONGTYPE Operation against a key holding the wrong kind of value"), Refusal::Other),
            ("", Refusal::Other),
        ];
        for (line, refusal) in expected {
            assert_eq!(class(&said(line)), refusal, "{line}");
        }
    }

    #[test]
    fn an_error_repeats_no_arguments_and_not_too_much() {
        let op = crate::commands::command::DEL;
        let unknown = error(op, &said("ERR unknown command `UNLINK`, with args beginning with: `secret`, "));
        assert_eq!(unknown.to_string(), "del: the server refused: ERR unknown command `UNLINK`");
        assert!(error(op, &said(&"x".repeat(9_000))).to_string().len() < 300);
    }
}
