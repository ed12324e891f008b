//! Where the servers are: what a list of names says.

use accelerator_core::CacheResult;

use crate::settings::refuse;

/// Where memcached listens unless it was told otherwise.
const PORT: u16 = 11211;
/// What stands for a name that was not understood: a part of it may be a password.
const HIDDEN: &str = "(not shown)";
const ACCEPTED: &str = "takes host:port or memcache://host:port, without a login";

/// The names `host:port` of all servers, sorted, so that their order in the configuration means nothing.
pub(crate) fn server_names(given: &[String]) -> CacheResult<Vec<String>> {
    let names = all_names(given).or_else(|why| refuse("servers", HIDDEN, format!("{why}; {ACCEPTED}")))?;
    let mut sorted: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        match sorted.binary_search(&name) {
            Ok(_) => return refuse("servers", name, "takes each server once"),
            Err(place) => sorted.insert(place, name),
        }
    }
    if sorted.is_empty() { refuse("servers", "[]", "takes at least one host:port") } else { Ok(sorted) }
}

/// The names for those who look. Where one was not understood, none: a password may have commas in it.
pub(crate) fn shown(given: &[String]) -> Vec<String> {
    all_names(given).unwrap_or_else(|_| vec![HIDDEN.to_owned()])
}

/// All names, or what is wrong with one, and of several which it is.
fn all_names(given: &[String]) -> Result<Vec<String>, String> {
    let which = |at: usize, why: &str| match apart(given).count() {
        1 => why.to_owned(),
        all => format!("{why} in name {} of {all}", at + 1),
    };
    apart(given).enumerate().map(|(at, text)| name(text).map_err(|why| which(at, why))).collect()
}

fn apart(given: &[String]) -> impl Iterator<Item = &str> {
    given.iter().flat_map(|list| list.strip_prefix("memcache://").unwrap_or(list).split(',').map(str::trim))
}

/// One name as all nodes of a fleet write it, or what is wrong with it, without a word of it.
fn name(text: &str) -> Result<String, &'static str> {
    if text.contains("://") {
        return Err("bad scheme");
    }
    if text.contains('@') {
        return Err("a login before the @");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("bad host")?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "bad host")?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("bad port")?) };
            (&text[..address.len() + 2], port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| "bad port")?,
        Some(_) => return Err("bad port"),
        None => PORT,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let valid = host.starts_with('[') || !host.is_empty() && host.bytes().all(plain);
    match (valid, port) {
        (false, _) => Err("bad host"),
        (true, 0) => Err("bad port"),
        (true, port) => Ok(format!("{}:{port}", host.to_ascii_lowercase())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> Result<Vec<String>, String> {
        let given: Vec<String> = given.iter().map(|&one| one.to_owned()).collect();
        server_names(&given).map_err(|error| error.to_string())
    }

    #[test]
    fn names_of_servers_are_brought_into_one_form() {
        let both = Ok(vec!["a:11211".to_owned(), "b:2".to_owned()]);
        for given in [&["b:2", "a"][..], &["memcache://A,b:2"], &["a:11211, B:2"], &["memcache://b:2", "memcache://a"]]
        {
            assert_eq!(names(given), both, "{given:?}");
        }
        for (given, one) in [("127.0.0.1:1", "127.0.0.1:1"), ("[::1]", "[::1]:11211"), ("[FE80::1]:3", "[fe80::1]:3")] {
            assert_eq!(names(&[given]), Ok(vec![one.to_owned()]));
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        let refused = [
            "",
            ",",
            "a,",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "a b",
            "u:p@a",
            "a/0",
            "redis://a",
            "::1",
            "[::1",
            "[::1]x",
            "[a]:1",
            "memcache://",
            "memcaches://a",
        ];
        for given in refused {
            let error = names(&[given]).expect_err(given);
            assert!(error.starts_with("servers = "), "{given:?}: {error}");
        }
        assert!(names(&[]).is_err());
        assert_eq!(names(&["a", "A:11211"]), Err("servers = a:11211: takes each server once".to_owned()));
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_nothing_of_the_name() {
        for (given, why) in [
            ("app:secret@host", "a login before the @"),
            ("memcache://app:secret@host:1", "a login before the @"),
            ("secret", ""),
            ("app:secret", "bad port"),
            ("h:99999", "bad port"),
            ("[::1]secret", "bad port"),
            ("[secret]:1", "bad host"),
            ("se cret", "bad host"),
            ("redis://app:secret@host", "bad scheme"),
        ] {
            match names(&["good:1", given]) {
                Ok(_) => assert_eq!(why, "", "{given}: a host like any other"),
                Err(error) => {
                    let says = format!("servers = (not shown): {why} in name 2 of 2; takes");
                    assert!(error.starts_with(&says), "{given}: {error}");
                    assert!(!error.contains("secret"), "{given}: {error}");
                    assert_eq!(shown(&["good:1".to_owned(), given.to_owned()]), [HIDDEN]);
                }
            }
        }
    }
}
