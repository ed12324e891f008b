//! What the server refuses, and why.

use accelerator_core::{StoreError, StoreErrorKind};

/// So much of what the server says is repeated.
const WORDS: usize = 200;

/// What a refusal means.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal<'a> {
    /// The user may not listen to this subject.
    Listen(&'a str),
    /// The user may not publish to this subject.
    Publish(&'a str),
    /// Name, password or token is missing, wrong or no longer right.
    Login,
    /// The server goes, or doesn't take more clients.
    Away,
    /// Anything else.
    Other,
}

/// The class of what the server said.
pub(crate) fn class(said: &str) -> Refusal<'_> {
    let behind = |start: &str| {
        // Upper and lower case are not the same in all versions.
        let head = said.get(..start.len()).filter(|head| head.eq_ignore_ascii_case(start))?;
        let rest = &said[head.len()..];
        Some(rest.split('"').next().unwrap_or_default())
    };
    if let Some(subject) = behind("Permissions Violation for Subscription to \"") {
        return Refusal::Listen(subject);
    }
    if let Some(subject) = behind("Permissions Violation for Publish to \"") {
        return Refusal::Publish(subject);
    }
    let text = said.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if is(&["authorization", "authentication", "credentials"]) {
        Refusal::Login
    } else if is(&[
        "stale connection",
        "server shutdown",
        "slow consumer",
        "maximum connections",
        "maximum account active",
    ]) {
        Refusal::Away
    } else {
        Refusal::Other
    }
}

/// A refusal as the error of `doing`, in these words.
pub(crate) fn error(doing: &str, said: &str, words: &str) -> StoreError {
    let (kind, context) = match class(said) {
        Refusal::Away => (StoreErrorKind::Unavailable, format!("{doing}: the server isn't there for us: {words}")),
        Refusal::Login => {
            (StoreErrorKind::Rejected, format!("{doing}: the server wants other credentials in the URL: {words}"))
        }
        Refusal::Listen(_) => {
            (StoreErrorKind::Rejected, format!("{doing}: the user lacks the right to subscribe: {words}"))
        }
        Refusal::Publish(_) => {
            (StoreErrorKind::Rejected, format!("{doing}: the user lacks the right to publish: {words}"))
        }
        Refusal::Other => (StoreErrorKind::Rejected, format!("{doing}: the server refused: {words}")),
    };
    StoreError::new(kind, context)
}

/// The server's words, as far as they are shown.
pub(crate) fn words(said: &str) -> String {
    said.chars().filter(|char| !char.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        for (said, refusal) in [
            ("Permissions Violation for Subscription to \"shop.bus.a\"", Refusal::Listen("shop.bus.a")),
            ("Permissions Violation for Subscription to \"a\" using queue \"q\"", Refusal::Listen("a")),
            ("permissions violation for publish to \"shop.bus.a\"", Refusal::Publish("shop.bus.a")),
            ("Authorization Violation", Refusal::Login),
            ("User Authentication Expired", Refusal::Login),
            ("Authentication Timeout", Refusal::Login),
            ("Stale Connection", Refusal::Away),
            ("maximum connections exceeded", Refusal::Away),
            ("maximum subscriptions exceeded", Refusal::Other),
            ("Unknown Protocol Operation", Refusal::Other),
            ("Pérmissions Violation for Publish to", Refusal::Other),
            ("", Refusal::Other),
        ] {
            assert_eq!(class(said), refusal, "{said}");
        }
    }

    #[test]
    fn not_too_much_is_repeated() {
        assert_eq!(words(&format!("a\u{1b}b{}", "x".repeat(9_000))).len(), WORDS);
    }
}
