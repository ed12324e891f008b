//! What a server says: a handful of forms of its protocol, read as they come.

use std::str;

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

pub(crate) const PING: &[u8] = b"PING\r\n";
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// The longest line, in bytes: a server of a large cluster names all of it.
const LONGEST_LINE: usize = 64 << 10;

/// One thing that the server said.
#[derive(Debug)]
pub(crate) enum Reply {
    Info(ServerInfo),
    Message {
        subscription: u64,
        message: Bytes,
    },
    /// A message that nobody of ours has sent: longer than they may be. It is not kept.
    TooLarge {
        subscription: u64,
    },
    Ping,
    Pong,
    Okay,
    Refused(String),
}

/// What a server says of itself, as far as it matters here.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ServerInfo {
    pub(crate) max_payload: usize,
    #[serde(default)]
    pub(crate) tls_required: bool,
    #[serde(default)]
    pub(crate) tls_available: bool,
}

/// What no NATS says.
#[derive(Debug)]
pub(crate) struct Nonsense;

/// Bytes as they come from the server, and what they mean. What it keeps is bounded by the longest message.
pub(crate) struct Replies {
    pub(crate) buffer: BytesMut,
    /// Bytes to come that nobody wants.
    skip: usize,
    longest_message: usize,
}

impl Replies {
    pub(crate) fn new(longest_message: usize) -> Self {
        Self { buffer: BytesMut::new(), skip: 0, longest_message }
    }

    /// The next reply, if it is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, Nonsense> {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        let Some(end) = self.line_end()? else { return Ok(None) };
        let line = &self.buffer[..end];
        let (word, rest) = match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
            Some(at) => (&line[..at], line[at..].trim_ascii()),
            None => (line, &b""[..]),
        };
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let reply = if is("MSG") {
            return self.message(end);
        } else if is("PING") {
            Reply::Ping
        } else if is("PONG") {
            Reply::Pong
        } else if is("+OK") {
            Reply::Okay
        } else if is("-ERR") {
            Reply::Refused(String::from_utf8_lossy(rest).trim_matches('\'').to_owned())
        } else if is("INFO") {
            // The error of the library may repeat what it has read.
            Reply::Info(serde_json::from_slice(rest).map_err(|_| Nonsense)?)
        } else {
            return Err(Nonsense);
        };
        self.buffer.advance(end + 2);
        Ok(Some(reply))
    }

    /// How long the line is that begins here.
    fn line_end(&self) -> Result<Option<usize>, Nonsense> {
        match self.buffer.windows(2).take(LONGEST_LINE).position(|pair| pair == b"\r\n") {
            Some(end) => Ok(Some(end)),
            None if self.buffer.len() > LONGEST_LINE => Err(Nonsense),
            // Every word of the server is told by its first letter, so a stranger needs no line to be known as one.
            None if !self.buffer.first().is_none_or(|byte| b"IMP+-imp".contains(byte)) => Err(Nonsense),
            None => Ok(None),
        }
    }

    /// `MSG <subject> <subscription> [reply subject] <bytes>`, and the bytes.
    fn message(&mut self, end: usize) -> Result<Option<Reply>, Nonsense> {
        let line = str::from_utf8(&self.buffer[..end]).map_err(|_| Nonsense)?;
        let mut words = line.split_ascii_whitespace();
        let subscription = words.nth(2).and_then(|word| word.parse().ok()).ok_or(Nonsense)?;
        let length: usize = words.next_back().and_then(|word| word.parse().ok()).ok_or(Nonsense)?;
        if words.count() > 1 {
            return Err(Nonsense);
        }
        if length > self.longest_message {
            self.buffer.advance(end + 2);
            self.skip = length.saturating_add(2);
            return Ok(Some(Reply::TooLarge { subscription }));
        }
        let begin = end + 2;
        let Some(whole) = self.buffer.get(begin..begin + length + 2) else { return Ok(None) };
        let message = whole.strip_suffix(b"\r\n").ok_or(Nonsense)?;
        // A copy: a slice would keep the whole buffer for as long as a slow listener waits.
        let message = Bytes::copy_from_slice(message);
        self.buffer.advance(begin + length + 2);
        Ok(Some(Reply::Message { subscription, message }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"server_id\":\"x\",\"max_payload\":9,\"tls_required\":true} \r\nPING\r\nPONG\r\n+OK\r\n\
        MSG a.b 7 4\r\n\r\nMS\r\nMSG a 18446744073709551615 reply.to 9\r\nMSG a 1 0\r\n-ERR 'no \"a\"'\r\nmsg\ta 1 0\r\n\r\n";

    fn read(chunk: usize) -> Vec<String> {
        let mut replies = Replies::new(8);
        let mut read = Vec::new();
        for chunk in STREAM.chunks(chunk) {
            replies.buffer.extend_from_slice(chunk);
            while let Some(reply) = replies.next().expect("what a server says") {
                read.push(match reply {
                    Reply::Info(info) => format!("info {} {}", info.max_payload, info.tls_required),
                    Reply::Message { subscription, message } => format!("{subscription} {message:?}"),
                    Reply::TooLarge { subscription } => format!("{subscription} too large"),
                    Reply::Refused(said) => format!("refused {said}"),
                    other => format!("{other:?}"),
                });
            }
        }
        read
    }

    #[test]
    fn replies_are_read_however_they_are_cut() {
        let expected = [
            "info 9 true",
            "Ping",
            "Pong",
            "Okay",
            "7 b\"\\r\\nMS\"",
            "18446744073709551615 too large",
            "refused no \"a\"",
            "1 b\"\"",
        ];
        for chunk in 1..=STREAM.len() {
            assert_eq!(read(chunk), expected, "in pieces of {chunk}");
        }
    }

    #[test]
    fn what_no_server_says_is_nonsense_and_is_not_kept() {
        let long = [b"INFO ", &[b'x'; LONGEST_LINE][..]].concat();
        for said in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"$-1",
            b"INFO {}\r\n",
            b"INFO x\r\n",
            b"MSG a 1\r\n",
            b"MSG a x 1\r\n",
            b"MSG a 1 -1\r\n",
            b"MSG a 1 b c 1\r\n",
            b"MSG a 1 1\r\nxyz",
            b"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
            b"+PONG\r\n",
            &long,
        ] {
            let mut replies = Replies::new(8);
            replies.buffer.extend_from_slice(said);
            assert!(replies.next().is_err(), "{:?}", String::from_utf8_lossy(said));
        }
    }
}
