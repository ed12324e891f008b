//! NATS.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::daemon::{Daemon, Program};
use super::{ports, tls};

/// How long the server may take to say its first words, before it is asked again.
const ANSWER: Duration = Duration::from_secs(1);
const CONFIG: &str = "nats.conf";

/// A `nats-server` of one's own: on a free port of 127.0.0.1, without JetStream, with its files in a directory that goes
/// with it.
///
/// ```no_run
/// use accelerator_core::testkit::server::NatsServer;
/// let Some(server) = NatsServer::start() else { return };
/// // let bus = NatsBus::builder().url(server.url()) ..
/// server.stop(); // it takes connections, and answers nobody
/// server.cont();
/// server.restart(); // on the same port
/// ```
///
/// Dropping it kills it, stopped or not. It ends with the test process in any case: also where it stands in a `static`,
/// or the process is killed. All its methods block the thread for as long as a server takes to start or stop, which is
/// some milliseconds.
#[derive(Debug)]
pub struct NatsServer {
    daemon: Daemon,
    ca_pem: Option<String>,
}

/// How a [`NatsServer`] is set up. From [`NatsServer::builder`].
#[derive(Clone, Debug, Default)]
pub struct NatsServerBuilder {
    config: String,
    users: String,
    tls: bool,
}

impl NatsServer {
    /// Starts a plain server. As [`start`](NatsServerBuilder::start) of a builder with nothing set.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::builder().start()
    }

    /// Starts the setting up of a server.
    #[must_use]
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// Where it is: `nats://127.0.0.1:PORT`, with TLS `tls://`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with("")
    }

    /// Where it is, as this user. Both words are to be such that a URL takes them as they are.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    fn url_with(&self, who: &str) -> String {
        let scheme = if self.ca_pem.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{who}127.0.0.1:{}", self.port())
    }

    /// Where it is, for a proxy or a socket of one's own: `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Its port, which it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// Its process id; `None` after [`kill`](NatsServer::kill).
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.id()
    }

    /// With TLS: the certificate that a client has to trust, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Stops it (SIGSTOP): the system still takes connections and bytes for it, nothing is answered. When this returns,
    /// it does nothing any more.
    pub fn stop(&self) {
        self.daemon.stop();
    }

    /// Lets it go on (SIGCONT), with what arrived meanwhile.
    pub fn cont(&self) {
        self.daemon.cont();
    }

    /// Kills it (SIGKILL), stopped or not: connections break, new ones are refused. The port is kept for
    /// [`restart`](NatsServer::restart).
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Kills it if it is there, starts it anew on the same port, and waits until it answers.
    pub fn restart(&self) {
        self.daemon.restart();
    }

    /// Tells it to read its settings anew (SIGHUP): those of this builder, but for TLS. It keeps the connections of users
    /// whose password is the same. It does so a moment later.
    pub fn reload(&self, settings: NatsServerBuilder) {
        let settings = NatsServerBuilder { tls: self.ca_pem.is_some(), ..settings };
        settings.write(self.daemon.dir()).expect("a file for a server");
        self.daemon.reload();
    }
}

impl NatsServerBuilder {
    /// Adds a user with these permissions, as NATS writes them: `publish: ["shop.>"], subscribe: "shop.>"`; all, where
    /// they are empty. Whoever is none of the users is refused then.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, permissions: &str) -> Self {
        let line = format!("{{user: \"{name}\", password: \"{password}\", permissions: {{{permissions}}}}}\n");
        self.users.push_str(&line);
        self
    }

    /// A line of the file of settings: `max_payload: 2048`.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push_str(line);
        self.config.push('\n');
        self
    }

    /// TLS, and nothing but TLS. The certificate is made on the spot, for `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        // Not as an argument: then it would read its settings once and never again.
        let mut text = format!("server_name: \"{}\"\n{}", name(dir), self.config);
        if !self.users.is_empty() {
            text.push_str(&format!("authorization {{ users = [\n{}] }}\n", self.users));
        }
        if self.tls {
            text.push_str(&format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n", tls::CERTIFICATE, tls::KEY));
        }
        std::fs::write(dir.join(CONFIG), text)
    }

    /// Starts the server and waits until it answers. `None` if `nats-server` is not installed and
    /// `ACCELERATOR_SKIP_SERVERS` is `1`; that is said on stderr.
    ///
    /// # Panics
    ///
    /// `nats-server` is not installed (the message says how to install it), or does not start with these settings.
    #[must_use]
    pub fn start(self) -> Option<NatsServer> {
        let made = self.tls.then(tls::make);
        let ca_pem = made.as_ref().map(|made| made.ca.clone());
        let args = move |port: u16, dir: &Path| {
            let port = port.to_string();
            let mut all: Vec<OsString> = ["-a", "127.0.0.1", "-p", &port, "-c"].map(OsString::from).to_vec();
            all.push(dir.join(CONFIG).into());
            all
        };
        let program = Program { name: "nats-server", package: "nats-server", args: Box::new(args), ask: info };
        let daemon = Daemon::start(program, |dir| {
            if let Some(made) = &made {
                made.write(dir)?;
            }
            self.write(dir)
        })?;
        Some(NatsServer { daemon, ca_pem })
    }
}

/// What a server in this directory is called: nobody else is.
fn name(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Waits for its first words, and whether it is this server that says them: the port may be somebody else's.
fn info(port: u16, dir: &Path, _: u32) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&ports::addr(port), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut said = String::new();
    BufReader::new(stream).read_line(&mut said)?;
    if said.starts_with("INFO ") && said.contains(&format!("\"server_name\":\"{}\"", name(dir))) {
        Ok(())
    } else {
        Err(io::Error::other(format!("another server has the port, or none of NATS: {said:?}")))
    }
}
