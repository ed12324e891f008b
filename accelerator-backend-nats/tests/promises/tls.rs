//! TLS: certificates are checked, and everything works as without.

use std::sync::LazyLock;

use accelerator_core::testkit::server::NatsServer;
use accelerator_core::{ErrorKind, GapCause, InvalidationBus, StoreErrorKind, bus_laws};

use crate::support::{bus, gap, next};

static SERVER: LazyLock<Option<NatsServer>> = LazyLock::new(|| NatsServer::builder().tls().start());

bus_laws!(over_tls, {
    let Some(server) = SERVER.as_ref() else { return };
    bus(server.url()).tls_ca(server.ca_pem().expect("an authority")).build().expect("a bus")
});

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let Some(server) = SERVER.as_ref() else { return };
    let Some(stranger) = NatsServer::builder().tls().start() else { return };
    let bus = bus(server.url()).tls_ca(stranger.ca_pem().expect("an authority")).build().expect("a bus");
    assert_eq!(next(&mut bus.listen("t")).await, gap(GapCause::Disconnected));
    let error = bus.publish("t", "news".into()).await.expect_err("a certificate of another authority");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_url_without_tls_for_a_server_with_it_says_what_it_takes_and_the_reverse() {
    let (Some(with), Some(without)) = (SERVER.as_ref(), NatsServer::start()) else { return };
    let plain = with.url().replace("tls://", "nats://");
    let wrapped = bus(without.url().replace("nats://", "tls://")).tls_ca(with.ca_pem().expect("an authority"));
    for (builder, says) in [(bus(plain), "the URL takes tls://"), (wrapped, "the server has no TLS")] {
        let bus = builder.build().expect("a bus");
        let error = bus.publish("t", "news".into()).await.expect_err("one of both has TLS");
        assert_eq!(next(&mut bus.listen("t")).await, gap(GapCause::Refused));
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        // Who waited for the first try is told as well.
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn authorities_that_are_none_are_refused() {
    for (url, pem) in [
        ("tls://h", ""),
        ("tls://h", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("nats://h", "any"),
    ] {
        let error = bus(url).tls_ca(pem).build().expect_err("no authority");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with("tls_ca = (set): "), "{error}");
    }
}
