//! memcached.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::daemon::{Daemon, Program};
use super::ports;

/// How long an answer to the first question may take, before it is asked again.
const ANSWER: Duration = Duration::from_secs(1);

/// A `memcached` of one's own: on a free port of 127.0.0.1, and empty.
///
/// ```no_run
/// use accelerator_core::testkit::server::MemcachedServer;
/// let Some(server) = MemcachedServer::builder().arg("-I").arg("2m").start() else { return };
/// // let store = MemcachedStore::builder().servers([server.addr()]) ..
/// server.kill();
/// server.restart(); // on the same port, empty
/// ```
///
/// Dropping it kills it, stopped or not. It ends with the test process in any case: also where it stands in a `static`,
/// or the process is killed. All its methods block the thread for as long as a server takes to start or stop, which is
/// some milliseconds.
#[derive(Debug)]
pub struct MemcachedServer(Daemon);

/// How a [`MemcachedServer`] is set up. From [`MemcachedServer::builder`].
#[derive(Clone, Debug, Default)]
pub struct MemcachedServerBuilder {
    args: Vec<OsString>,
}

impl MemcachedServer {
    /// Starts a plain server. As [`start`](MemcachedServerBuilder::start) of a builder with nothing set.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::builder().start()
    }

    /// Starts the setting up of a server.
    #[must_use]
    pub fn builder() -> MemcachedServerBuilder {
        MemcachedServerBuilder::default()
    }

    /// Where it is: `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Its port, which it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Its process id; `None` after [`kill`](MemcachedServer::kill).
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// Stops it (SIGSTOP): the system still takes connections and bytes for it, nothing is answered. When this returns,
    /// it does nothing any more.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Lets it go on (SIGCONT), with what arrived meanwhile.
    pub fn cont(&self) {
        self.0.cont();
    }

    /// Kills it (SIGKILL), stopped or not: connections break, new ones are refused. The port is kept for
    /// [`restart`](MemcachedServer::restart).
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Kills it if it is there, starts it anew on the same port, and waits until it answers. It is empty then.
    pub fn restart(&self) {
        self.0.restart();
    }
}

impl MemcachedServerBuilder {
    /// One more argument of the command line: `"-C"`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts the server and waits until it answers. `None` if `memcached` is not installed and
    /// `ACCELERATOR_SKIP_SERVERS` is `1`; that is said on stderr.
    ///
    /// # Panics
    ///
    /// `memcached` is not installed (the message says how to install it), or does not start with these arguments.
    #[must_use]
    pub fn start(self) -> Option<MemcachedServer> {
        let args = move |port: u16, _: &Path| {
            let port = port.to_string();
            let mut all: Vec<OsString> = ["-l", "127.0.0.1", "-p", &port, "-U", "0"].map(OsString::from).to_vec();
            // It refuses to run as root.
            if rustix::process::geteuid().is_root() {
                all.extend(["-u", "nobody"].map(OsString::from));
            }
            all.extend(self.args.iter().cloned());
            all
        };
        let program = Program { name: "memcached", package: "memcached", args: Box::new(args), ask: version };
        Daemon::start(program, |_| Ok(())).map(MemcachedServer)
    }
}

/// Asks for the version, and whether it is this process that answers: the port may be somebody else's.
fn version(port: u16, _: &Path, pid: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&ports::addr(port), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(b"version\r\nstats\r\n")?;
    let mut answer = BufReader::new(stream).lines();
    let first = answer.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    if !first.starts_with("VERSION ") {
        return Err(io::Error::other(format!("version was answered by {first:?}")));
    }
    for line in answer {
        match line?.as_str() {
            "END" => break,
            line if line == format!("STAT pid {pid}") => return Ok(()),
            _ => {}
        }
    }
    Err(io::Error::other("another memcached has the port"))
}
