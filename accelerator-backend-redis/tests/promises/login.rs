//! Who we are to the server, and what is said where it doesn't like that. Passwords are in no text.

use accelerator_core::testkit::server::{RedisServer, redis_url};
use accelerator_core::{ErrorKind, HoldOwner, L2Store, StoreErrorKind};

use crate::laws::MINIMAL_ACL;
use crate::support::{LONG, builder, comes_true, lease, raw, store, value};

#[test]
fn a_builder_says_what_it_refuses_and_what_it_accepts() {
    let long = "x".repeat(300);
    let timeout = std::time::Duration::ZERO;
    for (builder, says) in [
        (accelerator_backend_redis::RedisStore::builder(), "url = (not set): redis://"),
        (builder("redis://u:secret@h/x"), "url = (not shown): Invalid database number"),
        (builder("http://u:secret@h"), "url = (not shown): bad scheme; accepted is redis://"),
        (builder("redis://h").key_prefix("a b"), "key_prefix = \"a b\": up to 256 bytes"),
        (builder("redis://h").key_prefix(long), "key_prefix = \"xxx"),
        (builder("redis://h").connect_timeout(timeout), "connect_timeout = 0ns: 10ms to 60s"),
        (builder("redis://h").response_timeout(timeout), "response_timeout = 0ns: 10ms to 60s"),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err("a wrong setting");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with(says), "{error}");
        assert!(!format!("{error:?}{shown}").contains("secret"), "{error:?}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_the_feature_a_tls_url_is_refused_with_its_name() {
    let error = builder("rediss://h").build().expect_err("no TLS");
    assert!(error.to_string().contains("redis-tls"), "{error}");
}

#[tokio::test]
async fn a_wrong_login_is_an_error_that_says_so() {
    let Some(server) = RedisServer::builder().acl_user("app", "right", MINIMAL_ACL).start() else { return };
    let with_password = RedisServer::builder().arg("--requirepass", "right").start();
    let Some(with_password) = with_password else { return };
    for (url, says) in [
        (server.url_as("app", "wrong"), "WRONGPASS"),
        (server.url_as("nobody", "right"), "WRONGPASS"),
        (with_password.url(), "NOAUTH"),
        (format!("{}/99", server.url()), "DB index"),
        (format!("{}/1", server.url_as("app", "right")), "+select"),
    ] {
        let error = builder(url).connect().await.expect_err(says);
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:#}{error:?}").contains("wrong"), "{error:?}");
    }
}

#[tokio::test]
async fn a_call_on_a_store_that_is_not_let_in_says_why() {
    let Some(server) = RedisServer::builder().acl_user("app", "right", MINIMAL_ACL).start() else { return };
    let store = builder(server.url_as("app", "wrong")).build().expect("a store");
    comes_true("the reason", async || {
        let error = store.get("k").await.expect_err("no login");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        error.to_string().contains("WRONGPASS")
    })
    .await;
    assert!(!format!("{store:?}").contains("wrong"));
    // The password is corrected on the server: nobody needs to start anew.
    assert_eq!(raw(&server.addr(), "ACL SETUSER app >wrong"), "+OK");
    comes_true("the login", async || store.set("app:k", value("v"), LONG).await.is_ok()).await;
}

#[tokio::test]
async fn databases_are_kept_apart() {
    let Some(url) = redis_url() else { return };
    let (zero, one) = (store(url).await, store(format!("{url}/1")).await);
    zero.set("login.db", value("0"), LONG).await.expect("set");
    assert_eq!(one.get("login.db").await.expect("get"), None);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    // With every right but one, each operation names the one.
    let all = ["get", "mget", "set", "unlink", "getrange", "eval", "evalsha", "time", "ping"];
    let Some(server) = RedisServer::start() else { return };
    for missing in all {
        let rights: String = all.iter().filter(|right| **right != missing).map(|right| format!(" +{right}")).collect();
        let rules = format!("ACL SETUSER {missing} on >pw ~* -@all{rights}");
        assert_eq!(raw(&server.addr(), &rules), "+OK");
        let store = store(server.url_as(missing, "pw")).await;
        let mut errors = Vec::new();
        errors.extend(store.get("k").await.err());
        errors.extend(store.mget(&["k"]).await.remove(0).err());
        errors.extend(store.set("k", value("v"), LONG).await.err());
        errors.extend(store.mset(vec![("k", value("v"), LONG)]).await.remove(0).err());
        errors.extend(store.del("k").await.err());
        errors.extend(store.mdel(&["k"]).await.remove(0).err());
        if missing != "set" {
            let token = lease(&store, "leased").await;
            errors.extend(store.fill("leased", &token, value("v"), LONG).await.err());
            let again = store.mfill(vec![("leased", token, value("v"), LONG)]).await.remove(0);
            errors.extend(again.err());
            errors.extend(store.release("leased", token).await.err());
        }
        let owner = HoldOwner::random();
        errors.extend(store.hold("held", owner, LONG).await.err());
        errors.extend(store.unhold("held", owner).await.err());
        // Any answer to a PING will do; and the name of a script is enough where the server knows it.
        assert_eq!(errors.is_empty(), matches!(missing, "ping" | "eval"), "without {missing}: {errors:?}");
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
            assert!(error.to_string().contains(&format!("+{missing}")), "without {missing}: {error}");
        }
        assert_eq!(raw(&server.addr(), "FLUSHALL"), "+OK");
    }
    // No key that the user may touch.
    assert_eq!(raw(&server.addr(), "ACL SETUSER keyless on >pw resetkeys ~other:* +@all"), "+OK");
    let error = store(server.url_as("keyless", "pw")).await.get("key.of.ours").await.expect_err("no such right");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(!error.to_string().contains("key.of.ours"), "{error}");
}

#[tokio::test]
async fn a_user_without_scripts_writes_and_deletes_plainly() {
    let Some(server) = RedisServer::start() else { return };
    let rights = "+get +mget +set +unlink +getrange +ping";
    assert_eq!(raw(&server.addr(), &format!("ACL SETUSER plain on >pw ~* -@all {rights}")), "+OK");
    let store = store(server.url_as("plain", "pw")).await;
    for _ in 0..2 {
        store.set("k", value("v"), LONG).await.expect("set");
        store.mset(vec![("l", value("v"), LONG), ("m", value("v"), LONG)]).await.into_iter().for_each(|set| {
            set.expect("mset");
        });
        let there = store.mget(&["k", "l", "m"]).await;
        assert!(there.iter().all(|one| matches!(one, Ok(Some(_)))), "{there:?}");
        store.del("k").await.expect("del");
        store.mdel(&["l", "m"]).await.into_iter().for_each(|deleted| deleted.expect("mdel"));
        let gone = store.mget(&["k", "l", "m"]).await;
        assert!(gone.iter().all(|one| matches!(one, Ok(None))), "{gone:?}");
        // So nobody of this user believes that a key is held.
        let error = store.hold("k", HoldOwner::random(), LONG).await.expect_err("no scripts");
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
    }
}
