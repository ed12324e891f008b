//! Where the server is, and who we are there: what a URL says.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, ServerError};

/// What the builder says a URL may be.
pub(crate) const ACCEPTED: &str = "redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
    or unix:///path[?db=..&user=..&pass=..]; percent-encode the password";
/// What stands for a URL that was not understood: any part of it may be a password.
const HIDDEN: &str = "(not shown)";
/// The schemes with a host.
const WITH_HOST: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];

/// A server and a login. Shown without the login.
pub(crate) struct ServerUrl {
    pub(crate) addr: ConnectionAddr,
    pub(crate) login: RedisConnectionInfo,
    /// The scheme asks for TLS.
    pub(crate) tls: bool,
}

impl ServerUrl {
    /// Reads a URL; an error says what is wrong with it, without repeating any of it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if is_cut_short(url) {
            return Err("a ?, # or / stands before the @".into());
        }
        let mut parsed = redis::parse_redis_url(url).ok_or_else(|| fault(url))?;
        let tls = matches!(parsed.scheme(), "rediss" | "valkeys");
        let unix = parsed.scheme().ends_with("unix");
        if parsed.fragment().is_some() {
            return Err("it has a fragment (#..): certificates are always checked".into());
        }
        let known = |name: &str| unix && matches!(name, "db" | "user" | "pass");
        if parsed.query_pairs().any(|(name, _)| !known(&name)) {
            return Err("it has a parameter (?..) that nobody reads".into());
        }
        // The client's parser knows these schemes only with a TLS of its own.
        if tls && parsed.set_scheme("redis").is_err() {
            return Err("bad scheme".into());
        }
        // The client's words are fixed ones, without what it has read.
        let info = parsed.into_connection_info().map_err(|error| error.to_string())?;
        let login = info.redis_settings();
        if login.username().is_some() && login.password().is_none() {
            return Err("it has a user without a password".into());
        }
        if login.db() < 0 {
            return Err("databases are counted from 0".into());
        }
        debug_assert_eq!(login.protocol(), ProtocolVersion::RESP2, "parameters are refused above");
        Ok(Self { addr: info.addr().clone(), login: login.clone(), tls })
    }

    /// Whether the server repeats the password: a stranger may, of a command that it doesn't know.
    pub(crate) fn is_betrayed_by(&self, said: &ServerError) -> bool {
        let Some(password) = self.login.password().filter(|password| !password.is_empty()) else { return false };
        said.code().contains(password) || said.details().is_some_and(|details| details.contains(password))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.addr, self.tls) {
            (ConnectionAddr::Unix(_), _) => "unix",
            (_, true) => "rediss",
            (_, false) => "redis",
        };
        let db = self.login.db();
        match &self.addr {
            // A login has no place in a path; one that stands there all the same is none to be shown.
            ConnectionAddr::Unix(path) if path.to_string_lossy().contains('@') => {
                let path = path.to_string_lossy();
                let behind = path.rsplit_once('@').map_or("", |(_, behind)| behind);
                write!(f, "unix://***@{behind}/{db}")
            }
            ConnectionAddr::Tcp(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}/{db}"),
            addr => write!(f, "{scheme}://{addr}/{db}"),
        }
    }
}

/// A URL without its login; nothing of one that was not understood.
pub(crate) fn shown(url: &str) -> String {
    ServerUrl::parse(url).map_or_else(|_| HIDDEN.to_owned(), |target| target.to_string())
}

/// Scheme and the rest of a URL with a host.
fn with_host(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.trim().split_once("://")?;
    WITH_HOST.iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some((scheme, rest))
}

/// Whether the host would be taken from a login that has a special character in it: then a part of the password would
/// be read as a port, a database or a parameter.
fn is_cut_short(url: &str) -> bool {
    let Some((_, rest)) = with_host(url) else { return false };
    rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(['?', '#', '/']))
}

/// What is wrong with a URL that was not understood, without a word of it.
fn fault(url: &str) -> &'static str {
    let Some((_, rest)) = with_host(url) else { return "bad scheme" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    // Of an address in brackets the colons are no port.
    let behind = server.rsplit_once(']').map_or(server, |(_, behind)| behind);
    match behind.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => {
            "bad port: it takes a number up to 65535 (or this is a login without @ and a host)"
        }
        _ => "bad host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let target = ServerUrl::parse("redis://user:p%40ss@cache.example:7000/3").unwrap();
        assert_eq!(target.to_string(), "redis://cache.example:7000/3");
        let login = &target.login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("user"), Some("p@ss"), 3));
        assert!(!target.tls);
        for (url, shown) in [
            ("rediss://cache.example", "rediss://cache.example:6379/0"),
            ("valkeys://[::1]:1", "rediss://[::1]:1/0"),
            ("valkey://:pw@h/1", "redis://h:6379/1"),
            ("unix:///run/redis.sock?db=2&pass=pw", "unix:///run/redis.sock/2"),
        ] {
            assert_eq!(ServerUrl::parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for url in [
            "",
            "localhost",
            "http://h",
            "redis://",
            "redis://h/x",
            "redis://h/-1",
            "redis://h:99999",
            "redis://user@h",
            "redis://h?protocol=resp3",
            "redis://h?db=1",
            "rediss://h#insecure",
            "unix:///s?protocol=resp3",
            "unix:///s?db=x",
        ] {
            assert!(ServerUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (url, says) in [
            ("redis://h:99999", "bad port"),
            ("redis://[::1]:x", "bad port"),
            ("redis://app:secret", "bad port"),
            ("redis://app:secret@", "bad host"),
            ("redis://[::1", "bad host"),
            ("http://h", "bad scheme"),
            ("app:secret@h", "bad scheme"),
            ("unix://u:p@h/s", "Missing path"),
            ("redis:u:p@h", "Missing hostname"),
            ("redis://user:hunter2?x@host", "before the @"),
            ("rediss://user:12#x@host", "before the @"),
            ("valkey://user:1/2@host", "before the @"),
        ] {
            let why = ServerUrl::parse(url).err().unwrap_or_default();
            assert!(why.contains(says), "{url}: {why:?}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (url, says) in [
            ("redis://user:secret@host/1", "redis://host:6379/1"),
            ("redis://:se@cret@host", "redis://host:6379/0"),
            ("unix:///s?pass=secret", "unix:///s/0"),
            ("unix:///app:secret@/s", "unix://***@/s/0"),
            ("redis:user:secret@host", HIDDEN),
            ("redis://host:x", HIDDEN),
            ("redis://user:secret?x@host", HIDDEN),
            ("redis://secret@host", HIDDEN),
        ] {
            assert_eq!(shown(url), says);
        }
    }
}
