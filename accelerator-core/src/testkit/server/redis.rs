//! Redis.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::{Daemon, Program};
use super::tls;

/// How long the answer to the first question may take, before it is asked again.
const ANSWER: Duration = Duration::from_secs(1);
const CONFIG: &str = "redis.conf";
const SOCKET: &str = "socket";

/// A `redis-server` of one's own: on a free port of 127.0.0.1, empty, without persistence, with its files in a directory
/// that goes with it.
///
/// ```no_run
/// use accelerator_core::testkit::server::RedisServer;
/// let Some(server) = RedisServer::start() else { return };
/// // let store = RedisStore::builder().url(server.url()) ..
/// server.stop(); // it takes connections, and answers nobody
/// server.cont();
/// server.restart(); // on the same port, empty
/// ```
///
/// Dropping it kills it, stopped or not. It ends with the test process in any case: also where it stands in a `static`,
/// or the process is killed. All its methods block the thread for as long as a server takes to start or stop, which is
/// some milliseconds.
#[derive(Debug)]
pub struct RedisServer {
    daemon: Daemon,
    ca_pem: Option<String>,
}

/// How a [`RedisServer`] is set up. From [`RedisServer::builder`].
#[derive(Clone, Debug, Default)]
pub struct RedisServerBuilder {
    config: String,
    args: Vec<OsString>,
    tls: bool,
}

impl RedisServer {
    /// Starts a plain server. As [`start`](RedisServerBuilder::start) of a builder with nothing set.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::builder().start()
    }

    /// Starts the setting up of a server.
    #[must_use]
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// Where it is, as the default user: `redis://127.0.0.1:PORT`, with TLS `rediss://`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with("")
    }

    /// Where it is, as this user.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{}:{}@", percent_encoded(user), percent_encoded(password)))
    }

    fn url_with(&self, who: &str) -> String {
        let scheme = if self.ca_pem.is_some() { "rediss" } else { "redis" };
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

    /// Its process id; `None` after [`kill`](RedisServer::kill).
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.id()
    }

    /// With TLS: the certificate that a client has to trust, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// With TLS: a file with [`ca_pem`](RedisServer::ca_pem), there as long as the server.
    #[must_use]
    pub fn ca_path(&self) -> Option<PathBuf> {
        self.ca_pem.as_ref().map(|_| self.daemon.dir().join(tls::CA))
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
    /// [`restart`](RedisServer::restart).
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Kills it if it is there, starts it anew on the same port, and waits until it answers. It is empty then.
    pub fn restart(&self) {
        self.daemon.restart();
    }
}

impl RedisServerBuilder {
    /// The memory it may take for data, as Redis writes it: `2mb`. It evicts nothing: writes beyond it are refused.
    #[must_use]
    pub fn maxmemory(self, memory: &str) -> Self {
        self.line(&format!("maxmemory {memory}")).line("maxmemory-policy noeviction")
    }

    /// Adds a user with these rules, as Redis writes them: `~* +get +set`. The default user stays as it is.
    #[must_use]
    pub fn acl_user(self, name: &str, password: &str, rules: &str) -> Self {
        self.line(&format!("user {name} on >{password} {rules}"))
    }

    /// TLS, and nothing but TLS, on its port. The certificate is made on the spot, for `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// An option of the command line with its value: `"--maxclients", "3"`.
    #[must_use]
    pub fn arg(mut self, key: &str, value: &str) -> Self {
        self.args.extend([key.into(), value.into()]);
        self
    }

    fn line(mut self, line: &str) -> Self {
        self.config.push_str(line);
        self.config.push('\n');
        self
    }

    /// Starts the server and waits until it answers. `None` if `redis-server` is not installed and
    /// `ACCELERATOR_SKIP_SERVERS` is `1`; that is said on stderr.
    ///
    /// # Panics
    ///
    /// `redis-server` is not installed (the message says how to install it), or does not start with these settings.
    #[must_use]
    pub fn start(self) -> Option<RedisServer> {
        let Self { config, args, tls } = self;
        let made = tls.then(tls::make);
        let ca_pem = made.as_ref().map(|made| made.ca.clone());
        let args = move |port: u16, dir: &Path| {
            let port = port.to_string();
            let ports: &[&str] = if tls { &["--port", "0", "--tls-port", &port] } else { &["--port", &port] };
            let mut all: Vec<OsString> = vec![dir.join(CONFIG).into(), "--unixsocket".into(), dir.join(SOCKET).into()];
            all.extend(ports.iter().map(OsString::from));
            all.extend(args.iter().cloned());
            all
        };
        let program = Program { name: "redis-server", package: "redis-server", args: Box::new(args), ask: ping };
        let daemon = Daemon::start(program, |dir| {
            let mut config = format!("bind 127.0.0.1\nsave \"\"\nappendonly no\ndaemonize no\n{config}");
            if let Some(made) = &made {
                made.write(dir)?;
                config.push_str(&format!("tls-cert-file {}\ntls-key-file {}\n", tls::CERTIFICATE, tls::KEY));
                config.push_str(&format!("tls-ca-cert-file {}\ntls-auth-clients no\n", tls::CA));
            }
            std::fs::write(dir.join(CONFIG), config)
        })?;
        Some(RedisServer { daemon, ca_pem })
    }
}

/// Asks at the socket in the server's directory: on a port somebody else might answer. Redis opens it after the port, so
/// whoever answers there has the port too.
fn ping(_: u16, dir: &Path, _: u32) -> io::Result<()> {
    let mut stream = UnixStream::connect(dir.join(SOCKET))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    // A server that asks for a password is ready as well.
    if answer.starts_with("+PONG") || answer.starts_with("-NOAUTH") || answer.starts_with("-NOPERM") {
        Ok(())
    } else {
        Err(io::Error::other(format!("PING was answered by {answer:?}")))
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._~-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
