//! Where the server is, and who we are there: what a URL says.

use std::fmt;

/// Where NATS listens unless it was told otherwise.
const PORT: u16 = 4222;
/// What the builder says a URL may be.
pub(crate) const ACCEPTED: &str = "nats://[user:password@]host[:port] or nats://token@host[:port], the same with tls:// \
    for TLS; percent-encode password and token";
/// What stands for a URL that was not understood: any part of it may be a password.
const HIDDEN: &str = "(not shown)";

/// A server and a login. Shown without the login.
pub(crate) struct ServerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Login,
    /// The scheme asks for TLS.
    pub(crate) tls: bool,
}

/// Who we are.
#[derive(PartialEq)]
pub(crate) enum Login {
    Nobody,
    User { name: String, password: String },
    Token(String),
}

impl ServerUrl {
    /// Reads a URL; an error says what is wrong with it, without repeating any of it.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.trim().split_once("://").ok_or("bad scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "nats" => false,
            "tls" => true,
            _ => return Err("bad scheme"),
        };
        let (login, server) = match rest.rsplit_once('@') {
            // The host would be taken from a login with a special character in it.
            Some((login, _)) if login.contains(['?', '#', '/']) => return Err("a ?, # or / stands before the @"),
            Some((login, server)) => (login_of(login)?, server),
            None => (Login::Nobody, rest),
        };
        let server = server.strip_suffix('/').unwrap_or(server);
        if server.contains(['/', '?', '#']) {
            return Err("it has a path or a parameter that nobody reads");
        }
        let (host, port) = server_of(server)?;
        Ok(Self { host, port, login, tls })
    }

    /// Whether the server repeats the password or the token: a stranger may.
    pub(crate) fn is_betrayed_by(&self, said: &str) -> bool {
        match &self.login {
            Login::User { password: secret, .. } | Login::Token(secret) => !secret.is_empty() && said.contains(secret),
            Login::Nobody => false,
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        let scheme = if self.tls { "tls" } else { "nats" };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

/// A URL without its login; nothing of one that was not understood.
pub(crate) fn shown(url: &str) -> String {
    ServerUrl::parse(url).map_or_else(|_| HIDDEN.to_owned(), |target| target.to_string())
}

fn login_of(text: &str) -> Result<Login, &'static str> {
    let login = match text.split_once(':') {
        Some(("", _)) => return Err("it has a password without a user"),
        Some((name, password)) => Login::User { name: decoded(name)?, password: decoded(password)? },
        None if text.is_empty() => return Err("nothing stands before the @"),
        None => Login::Token(decoded(text)?),
    };
    Ok(login)
}

/// Without percent signs.
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "a % that encodes nothing: it is written %25";
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or(WRONG)?;
        let digit =
            |at: usize| char::from(digits[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(WRONG);
        out.push(digit(0)? * 16 + digit(1)?);
        rest = behind;
    }
    String::from_utf8(out).map_err(|_| WRONG)
}

fn server_of(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("bad host")?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "bad host")?;
            (address, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("bad host")?) })
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            if text.contains(',') {
                return Err("more than one server: a name may have several addresses");
            }
            if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
                return Err("bad host");
            }
            (host, port)
        }
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().unwrap_or(0),
        Some(_) => 0,
        None => PORT,
    };
    if port == 0 {
        return Err("bad port: it takes a number up to 65535 (or this is a login without @ and a host)");
    }
    Ok((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, password: &str) -> Login {
        Login::User { name: name.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn a_url_says_where_and_who() {
        for (url, shown, login) in [
            ("nats://h", "nats://h:4222", Login::Nobody),
            (" NATS://Cache.Example:7000/", "nats://cache.example:7000", Login::Nobody),
            ("tls://app:p%40s%25@h:1", "tls://h:1", user("app", "p@s%")),
            ("nats://app:s:e@cret@h", "nats://h:4222", user("app", "s:e@cret")),
            ("nats://s3cret@[::1]:9", "nats://[::1]:9", Login::Token("s3cret".to_owned())),
        ] {
            let target = ServerUrl::parse(url).unwrap();
            assert_eq!(target.to_string(), shown);
            assert!(target.login == login, "{url}");
            assert_eq!(target.tls, shown.starts_with("tls"));
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_nothing_is_shown() {
        for (url, says) in [
            ("", "bad scheme"),
            ("app:secret@h", "bad scheme"),
            ("redis://h", "bad scheme"),
            ("nats://", "bad host"),
            ("nats://app:secret@", "bad host"),
            ("nats://a b", "bad host"),
            ("nats://[::1", "bad host"),
            ("nats://app:secret", "bad port"),
            ("nats://h:99999", "bad port"),
            ("nats://h:0", "bad port"),
            ("nats://h/x", "a path"),
            ("nats://h?tls=1", "a path"),
            ("nats://app:secret?x@h", "before the @"),
            ("nats://:secret@h", "without a user"),
            ("nats://@h", "nothing stands"),
            ("nats://app:secret%4@h", "%25"),
            ("nats://app:secret%zz@h", "%25"),
            ("nats://app:secret%FF@h", "%25"),
            ("nats://a:1,nats://b:2", "a path"),
            ("nats://a:1,b:2", "more than one"),
        ] {
            let why = ServerUrl::parse(url).err().unwrap_or_default();
            assert!(why.contains(says), "{url}: {why:?}");
            assert_eq!(shown(url), HIDDEN);
        }
    }
}
