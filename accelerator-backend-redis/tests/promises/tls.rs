//! TLS: certificates are checked, and everything works as without.

use std::sync::LazyLock;

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{ErrorKind, StoreErrorKind, l2_laws};

use crate::support::builder;

static SERVER: LazyLock<Option<RedisServer>> = LazyLock::new(|| RedisServer::builder().tls().start());

l2_laws!(over_tls, {
    let Some(store) = over_tls().await else { return };
    store
});

async fn over_tls() -> Option<RedisStore> {
    let server = SERVER.as_ref()?;
    let ca = server.ca_pem().expect("an authority");
    Some(builder(server.url()).tls_ca(ca).connect().await.expect("a connection"))
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let Some(server) = SERVER.as_ref() else { return };
    let Some(stranger) = RedisServer::builder().tls().start() else { return };
    let refused = builder(server.url()).tls_ca(stranger.ca_pem().expect("an authority")).connect().await;
    let error = refused.expect_err("a certificate of another authority");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(format!("{error:#}").contains("certificate"), "{error:#}");
}

#[tokio::test]
async fn a_plain_connection_to_a_tls_port_fails() {
    let Some(server) = SERVER.as_ref() else { return };
    let refused = builder(server.url().replace("rediss", "redis")).connect().await;
    refused.expect_err("no TLS on a TLS port");
}

#[test]
fn authorities_that_are_none_are_refused() {
    for (url, pem) in [
        ("rediss://h", ""),
        ("rediss://h", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("redis://h", "any"),
    ] {
        let error = builder(url).tls_ca(pem).build().expect_err("no authority");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with("tls_ca = (set): "), "{error}");
    }
}
