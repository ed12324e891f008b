//! A child process that can be stopped and continued, and that doesn't outlive us.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How long a process may take to stop once it was told to.
const STOPPING: Duration = Duration::from_secs(10);

/// What the watchdog runs: it waits for the end of its input, which we hold open, and then does what `Drop` would have
/// done. So a server in a `static`, or of a test that was killed, ends with the test process.
const WATCHDOG: &str = r#"read -r _; kill -9 "$1"; rm -rf "$2""#;

/// A running child process.
pub(super) struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Starts `program` in `dir` with its output in the file `log`. `dir` is removed if we end without `Drop`.
    pub(super) fn spawn(program: &str, args: &[OsString], dir: &Path, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        // A group of its own: a Ctrl-C for the tests must not reach servers (which may be stopped) nor the watchdog.
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let pid = child.id().to_string();
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog", &pid])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self { child, watchdog }),
            Err(error) => {
                end(child);
                Err(error)
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it. When this returns, none of its threads runs.
    pub(super) fn stop(&self) -> io::Result<()> {
        kill_process(self.pid(), Signal::STOP)?;
        // The signal is only sent yet. `NOWAIT`: the child's end is for `Child` to collect.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let start = Instant::now();
        while start.elapsed() < STOPPING {
            if waitid(WaitId::Pid(self.pid()), stopped)?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::from(io::ErrorKind::TimedOut))
    }

    /// Lets it run again.
    pub(super) fn cont(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    /// Tells it to read its settings anew.
    pub(super) fn reload(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::HUP)?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    /// Kills it, also where it is stopped, and waits until it is gone.
    fn drop(&mut self) {
        // The watchdog first: a process id that was collected may belong to somebody else.
        for child in [&mut self.watchdog, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}
