//! Where the server is, and who we are there: what a URL says.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

/// What the builder says a URL may be.
pub(crate) const ACCEPTED: &str = "redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
    or unix:///path[?db=..&user=..&pass=..]";

/// A server and a login. Shown without the login.
pub(crate) struct Target {
    pub(crate) addr: ConnectionAddr,
    pub(crate) login: RedisConnectionInfo,
    /// The scheme asks for TLS.
    pub(crate) tls: bool,
}

impl Target {
    /// Reads a URL; an error says what is wrong with it, without repeating any of it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let mut parsed = redis::parse_redis_url(url).ok_or("not a URL of these schemes")?;
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
            return Err("not a URL of these schemes".into());
        }
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
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.addr, self.tls) {
            (ConnectionAddr::Unix(_), _) => "unix",
            (_, true) => "rediss",
            (_, false) => "redis",
        };
        let db = self.login.db();
        match &self.addr {
            ConnectionAddr::Tcp(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}/{db}"),
            addr => write!(f, "{scheme}://{addr}/{db}"),
        }
    }
}

/// A URL with everything left out that may be secret.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    if scheme.is_empty() { rest } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let target = Target::parse("redis://user:p%40ss@cache.example:7000/3").unwrap();
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
            assert_eq!(Target::parse(url).unwrap().to_string(), shown);
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
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (url, says) in [
            ("redis://user:secret@host/1", "redis://***@host/1"),
            ("redis:user:secret@host", "***@host"),
            ("redis://:se@cret@host", "redis://***@host"),
            ("unix:///s?pass=secret", "unix:///s"),
            ("redis://host:x", "redis://host:x"),
        ] {
            assert_eq!(shown(url), says);
        }
    }
}
