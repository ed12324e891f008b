//! memcached takes no login. Where one was given all the same, nobody is shown it.

use std::error::Error;

use accelerator_backend_memcached::MemcachedStore;

/// Everything that a builder with these servers says.
async fn said(servers: &[String]) -> String {
    let builder = || MemcachedStore::builder().servers(servers);
    let built = builder().build().expect_err("not a server");
    let connected = builder().connect().await.expect_err("not a server");
    let source = connected.source().map(|source| format!("{source} {source:?}")).unwrap_or_default();
    format!("{:?} {built} {built:?} {connected} {connected:?} {source}", builder())
}

#[tokio::test]
async fn a_login_is_refused_by_its_kind() {
    for (given, says) in [
        ("app:hunter2@host", "a login before the @"),
        ("memcache://app:hunter2@host:11211", "a login before the @"),
        ("app:hunter2", "bad port"),
        ("memcached://app:hunter2@host", "bad scheme"),
        ("host:99999", "bad port"),
    ] {
        let said = said(&[given.to_owned()]).await;
        assert!(said.contains(says) && said.contains("without a login"), "{given}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("99999"), "{given}: {said}");
    }
}

/// What reads as a server is one, and is named: nobody can tell a port from a password of digits.
#[tokio::test]
async fn what_reads_as_a_server_is_named() {
    for (given, shown) in [
        ("app:1234", "app:1234"),
        ("memcache://app:1234", "app:1234"),
        ("APP", "app:11211"),
        ("[::1]:65535", "[::1]:65535"),
    ] {
        let builder = MemcachedStore::builder().servers([given]);
        let told = format!("{builder:?} {:?}", builder.clone().build().expect("a store"));
        assert_eq!(told.matches(shown).count(), 2, "{given}: {told}");
    }
    for (given, says) in [
        (vec!["a:1", "b:1234567", "c"], "bad port in name 2 of 3"),
        (vec!["a:1,b,c:secret"], "bad port in name 3 of 3"),
        (vec!["a:1", "secret c"], "bad host in name 2 of 2"),
        (vec!["a:-1"], "bad port; takes"),
    ] {
        let servers: Vec<String> = given.iter().map(|&name| name.to_owned()).collect();
        let said = said(&servers).await;
        assert!(said.contains(says), "{given:?}: {said}");
        assert!(!said.contains("secret") && !said.contains("1234567"), "{given:?}: {said}");
    }
}

#[tokio::test]
async fn a_secret_is_in_no_text_wherever_it_stands() {
    let mut random = fastrand::Rng::with_seed(14);
    let forms =
        ["U:S@h", "memcache://U:S@h:1", "S@h", "a:1,U:S@h", "U:S@h,b:2", "U:S@[::1]:1", "redis://U:S@h", "U:S@", "@S"];
    for round in 0..2_000 {
        let mut word = || -> String { (0..6).map(|_| random.lowercase()).collect() };
        let words = [word(), word(), word(), word()];
        let [user, a, b, c] = &words;
        let secret = match round % 8 {
            0 => format!("{a}?{b}#{c}"),
            1 => format!("{a},{b}@{c}"),
            2 => format!("{a}:1,{b}/{c}"),
            3 => format!("{a}%40{b}ä{c}"),
            4 => format!("{a}]{b}:{c}"),
            5 => format!("{a}://{b}{c}"),
            _ => format!("{a}{b}{c}"),
        };
        let form = forms[round % forms.len()];
        let given = form.replace('U', user).replace('S', &secret);
        // In one piece, and as a caller cuts it.
        for servers in [vec![given.clone()], given.split(',').map(str::to_owned).collect()] {
            let said = said(&servers).await;
            let shown = words.iter().find(|word| said.contains(*word));
            assert_eq!(shown, None, "{given}: {said}");
        }
    }
}
