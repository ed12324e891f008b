//! The least client: lines over a socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn connect(addr: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends bytes, and reads what is there to read at once.
pub(crate) fn ask(stream: &mut TcpStream, bytes: &str) -> io::Result<String> {
    stream.write_all(bytes.as_bytes())?;
    read(stream)
}

pub(crate) fn read(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = [0; 4096];
    let n = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
}

/// One question over a new connection.
pub(crate) fn once(addr: &str, bytes: &str) -> io::Result<String> {
    ask(&mut connect(addr)?, bytes)
}

/// Whether a process of this id exists, as a zombie too.
pub(crate) fn exists(pid: u32) -> bool {
    let kill = Command::new("/bin/sh").args(["-c", &format!("kill -0 {pid}")]).stderr(Stdio::null()).status();
    kill.expect("sh").success()
}

/// Waits for what is due.
pub(crate) fn comes_true(what: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
