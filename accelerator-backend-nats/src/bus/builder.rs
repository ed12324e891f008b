//! What a bus is made from.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use accelerator_core::{CacheError, CacheResult, ErrorKind};

use crate::bus::NatsBus;
use crate::bus::subject;
use crate::bus::subscriber::SubscriberLimits;
use crate::connection::dial::Dialer;
#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::url::{self, ServerUrl};

const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(60);
/// The longest prefix of subjects, in bytes.
const LONGEST_PREFIX: usize = 256;
/// What the largest message may be set to, in bytes.
const MESSAGE_BYTES: RangeInclusive<usize> = 1 << 10..=1 << 20;
/// Messages that wait for one listener at most.
const MAX_WAITING: usize = 1024;

/// Sets a [`NatsBus`] up. Nothing is checked before [`build`](Self::build).
///
/// ```
/// use accelerator_backend_nats::NatsBus;
/// let bus = NatsBus::builder().url("nats://cache-user:secret@127.0.0.1:4222").subject_prefix("shop").build()?;
/// assert!(!format!("{bus:?}").contains("secret"));
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct NatsBusBuilder {
    url: Option<String>,
    subject_prefix: String,
    connect_timeout: Duration,
    publish_timeout: Duration,
    ping_interval: Duration,
    ping_timeout: Duration,
    max_message_bytes: usize,
    #[cfg(feature = "tls")]
    tls_ca: Option<Vec<u8>>,
}

impl NatsBusBuilder {
    pub(crate) fn new() -> Self {
        Self {
            url: None,
            subject_prefix: "accelerator".to_owned(),
            connect_timeout: Duration::from_secs(1),
            publish_timeout: Duration::from_secs(1),
            ping_interval: Duration::from_secs(2),
            ping_timeout: Duration::from_secs(1),
            max_message_bytes: 64 << 10,
            #[cfg(feature = "tls")]
            tls_ca: None,
        }
    }

    /// Where the server is, and who we are there: `nats://[user:password@]host[:port]`, or `nats://token@host[:port]`.
    /// Required.
    ///
    /// `tls://` is the same over TLS and takes the feature `tls` (`nats-tls` of the facade). What is special in URLs is
    /// percent-encoded. Of a cluster, name one server, or a name that has the addresses of several.
    ///
    /// The server is shown in errors, in `Debug` and in the log, the login never, and of a URL that was not understood
    /// nothing at all.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// What all subjects begin with: up to 256 bytes of visible ASCII, tokens with dots between them and without wildcards.
    /// By default `accelerator`. A permission for `shop.bus.>` goes with the prefix `shop`. All nodes of a fleet need the
    /// same.
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.subject_prefix = prefix.into();
        self
    }

    /// How long connecting may take, TLS, login and first answer included: 10 ms to 60 s, by default 1 s. After a failure
    /// the next try follows within 500 ms (within 5 s where the server refused).
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a publish may take: 10 ms to 60 s, by default 1 s. Connecting for the first of them is part of it; later a
    /// publish fails at once while there is no connection.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.publish_timeout = limit;
        self
    }

    /// After how long the connection is asked for a sign of life, where nothing else was asked: 10 ms to 60 s, by default
    /// 2 s.
    ///
    /// Together with [`ping_timeout`](Self::ping_timeout) it is how long a node may hear nothing without knowing it: a
    /// connection whose other end has gone looks as one on which nothing is said.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How long the answer may take: 10 ms to 60 s, by default 1 s. Later, the connection is replaced.
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.ping_timeout = limit;
        self
    }

    /// The largest message: 1 KiB to 1 MiB, by default 64 KiB. Caches split what is larger. Only a server whose
    /// `max_payload` is smaller than that needs another. All nodes of a fleet need the same: a message that is larger than
    /// a listener takes is a gap.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The authorities (PEM, one or many) that a `tls://` server is checked against, instead of those that this machine
    /// trusts.
    #[cfg(feature = "tls")]
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls_ca = Some(pem.into());
        self
    }

    /// The bus. It connects when it is first listened to or published on: this needs no runtime, and no server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`], naming the field, its value and what is accepted. Of a URL it names the host and the
    /// port, never the login, and nothing at all where it was not understood.
    pub fn build(self) -> CacheResult<NatsBus> {
        let url = self.url.as_deref().ok_or_else(|| invalid("url", "(not set)", url::ACCEPTED))?;
        let refused = |why: &str| invalid("url", url::shown(url), &format!("{why}; accepted is {}", url::ACCEPTED));
        let target = ServerUrl::parse(url).map_err(refused)?;
        if self.subject_prefix.len() > LONGEST_PREFIX || !subject::is_prefix(&self.subject_prefix) {
            let accepted = format!(
                "up to {LONGEST_PREFIX} bytes of visible ASCII: tokens with dots between them, without wildcards, quotes or a leading $"
            );
            return Err(invalid("subject_prefix", format!("{:?}", self.subject_prefix), &accepted));
        }
        for (field, limit) in [
            ("connect_timeout", self.connect_timeout),
            ("publish_timeout", self.publish_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
        ] {
            if !(LEAST..=MOST).contains(&limit) {
                return Err(invalid(field, format!("{limit:?}"), &format!("{LEAST:?} to {MOST:?}")));
            }
        }
        if !MESSAGE_BYTES.contains(&self.max_message_bytes) {
            let accepted = format!("{} to {} bytes", MESSAGE_BYTES.start(), MESSAGE_BYTES.end());
            return Err(invalid("max_message_bytes", self.max_message_bytes, &accepted));
        }
        #[cfg(not(feature = "tls"))]
        if target.tls {
            return Err(refused("TLS takes the feature `tls` of accelerator-backend-nats (`nats-tls` of accelerator)"));
        }
        let dialer = Dialer {
            #[cfg(feature = "tls")]
            tls: self.tls(&target)?,
            target,
            limit: self.connect_timeout,
            max_message_bytes: self.max_message_bytes,
        };
        let limits = SubscriberLimits {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            max_waiting: MAX_WAITING,
        };
        Ok(NatsBus::new(dialer, self.subject_prefix, self.publish_timeout, limits))
    }

    #[cfg(feature = "tls")]
    fn tls(&self, target: &ServerUrl) -> CacheResult<Option<Tls>> {
        let ca = self.tls_ca.as_deref();
        if !target.tls {
            return match ca {
                Some(_) => Err(invalid("tls_ca", "(set)", "a tls:// URL to go with it")),
                None => Ok(None),
            };
        }
        let shown = if ca.is_some() { "(set)" } else { "(not set)" };
        Tls::new(ca)
            .map(Some)
            .map_err(|why| invalid("tls_ca", shown, &format!("{why}; accepted are certificates in PEM")))
    }
}

impl fmt::Debug for NatsBusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBusBuilder")
            .field("url", &self.url.as_deref().map(url::shown))
            .field("subject_prefix", &self.subject_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("publish_timeout", &self.publish_timeout)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("max_message_bytes", &self.max_message_bytes)
            .finish_non_exhaustive()
    }
}

fn invalid(field: &str, value: impl fmt::Display, accepted: &str) -> CacheError {
    CacheError::new(ErrorKind::InvalidConfig, format!("{field} = {value}: {accepted}"))
}
