//! What all servers have in common: a program, a port, a directory, and that they come and go.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::lock;
use super::ports;
use super::process::Process;

/// How long a server may take until it answers; far more than it needs.
const STARTING: Duration = Duration::from_secs(30);
/// How many ports are tried.
const PORTS: usize = 20;
/// Where tests are to pass without servers.
const SKIP: &str = "ACCELERATOR_SKIP_SERVERS";

/// What a program is told, given its port and its directory.
type Args = dyn Fn(u16, &Path) -> Vec<OsString> + Send + Sync;

/// Which program, and how to talk to it.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// What Debian calls the package.
    pub(super) package: &'static str,
    pub(super) args: Box<Args>,
    /// Asks the server for something only a ready server answers; of the port, the directory and the process id.
    pub(super) ask: fn(u16, &Path, u32) -> io::Result<()>,
}

/// A server that was started, and may be down.
pub(super) struct Daemon {
    program: Program,
    port: u16,
    running: Mutex<Option<Process>>,
    // Last: removed when the process is gone.
    dir: TempDir,
}

enum Failure {
    /// The program isn't there.
    Missing,
    /// It ended before it answered; mostly because the port was taken.
    Ended,
    Other(String),
}

impl Daemon {
    /// Starts a server on a free port; `prepare` fills its directory first. `None`: the program is missing, and that is
    /// allowed.
    pub(super) fn start(program: Program, prepare: impl FnOnce(&Path) -> io::Result<()>) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("accelerator-").tempdir().expect("a directory for a server");
        prepare(dir.path()).expect("files for a server");
        for _ in 0..PORTS {
            let port = ports::free();
            match launch(&program, port, dir.path()) {
                Ok(process) => return Some(Self { program, port, running: Mutex::new(Some(process)), dir }),
                Err(Failure::Missing) => {
                    missing(&program);
                    return None;
                }
                Err(Failure::Ended) => {}
                Err(Failure::Other(why)) => panic!("{} did not start: {why}\n{}", program.name, log_of(dir.path())),
            }
        }
        panic!("{} ended at once on {PORTS} ports in turn; its output:\n{}", program.name, log_of(dir.path()));
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn id(&self) -> Option<u32> {
        lock(&self.running).as_ref().map(Process::id)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn stop(&self) {
        self.with_running(Process::stop);
    }

    pub(super) fn cont(&self) {
        self.with_running(Process::cont);
    }

    /// SIGHUP.
    pub(super) fn reload(&self) {
        self.with_running(Process::reload);
    }

    fn with_running(&self, signal: impl FnOnce(&Process) -> io::Result<()>) {
        let running = lock(&self.running);
        let process = running.as_ref().unwrap_or_else(|| panic!("{} was killed", self.program.name));
        signal(process).unwrap_or_else(|error| panic!("a signal to {}: {error}", self.program.name));
    }

    pub(super) fn kill(&self) {
        *lock(&self.running) = None;
    }

    pub(super) fn restart(&self) {
        let mut running = lock(&self.running);
        *running = None;
        let start = Instant::now();
        loop {
            match launch(&self.program, self.port, self.dir.path()) {
                Ok(process) => break *running = Some(process),
                // Somebody may have the port for a moment, as a test that looks for a free one.
                Err(Failure::Ended) if start.elapsed() < STARTING => thread::sleep(Duration::from_millis(20)),
                Err(failure) => {
                    let why = match failure {
                        Failure::Missing => "the program is gone",
                        Failure::Ended => "it ended at once",
                        Failure::Other(ref why) => why,
                    };
                    panic!("{} did not start again: {why}\n{}", self.program.name, log_of(self.dir.path()));
                }
            }
        }
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.program.name).field("port", &self.port).field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Starts the program and waits until it answers.
fn launch(program: &Program, port: u16, dir: &Path) -> Result<Process, Failure> {
    let args = (program.args)(port, dir);
    let mut process = Process::spawn(program.name, &args, dir, &log_path(dir)).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound { Failure::Missing } else { Failure::Other(error.to_string()) }
    })?;
    let start = Instant::now();
    loop {
        let answer = (program.ask)(port, dir, process.id());
        if process.has_ended() {
            return Err(Failure::Ended);
        }
        match answer {
            Ok(()) => return Ok(process),
            Err(error) if start.elapsed() > STARTING => {
                return Err(Failure::Other(format!("no answer within {STARTING:?}: {error}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Says that a server is missing: as a failure, or as a line where that is allowed.
fn missing(program: &Program) {
    let Program { name, package, .. } = program;
    assert!(
        std::env::var_os(SKIP).is_some_and(|value| value == "1"),
        "{name} is not installed, and this test needs it. On Debian: apt-get install {package}\n\
         (With {SKIP}=1 such tests are skipped.)"
    );
    let thread = thread::current();
    let line = format!("skipped, as {name} is not installed and {SKIP}=1: {}\n", thread.name().unwrap_or("a test"));
    // Not by `eprintln!`, which the test runner hides where a test passes: nothing is skipped in silence.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The end of what the server said.
fn log_of(dir: &Path) -> String {
    let log = std::fs::read(log_path(dir)).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
}
