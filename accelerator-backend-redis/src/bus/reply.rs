//! What a server says on a connection that listens: a handful of forms of its protocol (RESP2), read as they come.

use bytes::{Buf, Bytes, BytesMut};
use redis::{ServerError, Value};

/// The longest line, and the longest name of a channel, in bytes.
const LONGEST_LINE: usize = 16 << 10;

/// One thing that the server said.
#[derive(Debug)]
pub(crate) enum Reply {
    Message {
        channel: Bytes,
        message: Bytes,
    },
    /// A message that nobody of ours has sent: longer than they may be. It is not kept.
    TooLarge {
        channel: Bytes,
    },
    Subscribed {
        channel: Bytes,
    },
    Unsubscribed,
    Pong,
    Refused(ServerError),
}

/// What no Redis says.
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
        let Some(first) = self.buffer.first() else { return Ok(None) };
        let mut at = Cursor { bytes: &self.buffer, position: 0 };
        let reply = match first {
            b'+' | b'-' => line(&mut at)?,
            b'*' => push(&mut at, self.longest_message)?,
            _ => return Err(Nonsense),
        };
        let Some((reply, skip)) = reply else { return Ok(None) };
        let position = at.position;
        self.buffer.advance(position);
        self.skip = skip;
        Ok(Some(reply))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// The line that begins here, without its end.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Nonsense> {
        let rest = &self.bytes[self.position..];
        match rest.windows(2).take(LONGEST_LINE).position(|pair| pair == b"\r\n") {
            Some(end) => {
                self.position += end + 2;
                Ok(Some(&rest[..end]))
            }
            None if rest.len() > LONGEST_LINE => Err(Nonsense),
            None => Ok(None),
        }
    }

    /// A line that is a number behind this mark.
    fn number(&mut self, mark: u8) -> Result<Option<usize>, Nonsense> {
        let Some(line) = self.line()? else { return Ok(None) };
        let (first, digits) = line.split_first().ok_or(Nonsense)?;
        let digits = std::str::from_utf8(digits).map_err(|_| Nonsense)?;
        let number = digits.parse().map_err(|_| Nonsense)?;
        if *first == mark { Ok(Some(number)) } else { Err(Nonsense) }
    }

    fn take(&mut self, length: usize) -> Result<Option<&'a [u8]>, Nonsense> {
        let rest = &self.bytes[self.position..];
        let Some(whole) = rest.get(..length + 2) else { return Ok(None) };
        if !whole.ends_with(b"\r\n") {
            return Err(Nonsense);
        }
        self.position += length + 2;
        Ok(Some(&whole[..length]))
    }

    fn string(&mut self) -> Result<Option<&'a [u8]>, Nonsense> {
        match self.number(b'$')? {
            Some(length) if length > LONGEST_LINE => Err(Nonsense),
            Some(length) => self.take(length),
            None => Ok(None),
        }
    }
}

/// A reply, and how many bytes behind it are to be skipped.
type Found = Option<(Reply, usize)>;

fn line(at: &mut Cursor<'_>) -> Result<Found, Nonsense> {
    let Some(said) = at.line()? else { return Ok(None) };
    if said == b"+PONG" {
        return Ok(Some((Reply::Pong, 0)));
    }
    match redis::parse_redis_value(&[said, b"\r\n"].concat()) {
        Ok(Value::ServerError(said)) => Ok(Some((Reply::Refused(said), 0))),
        _ => Err(Nonsense),
    }
}

fn push(at: &mut Cursor<'_>, longest_message: usize) -> Result<Found, Nonsense> {
    let Some(parts) = at.number(b'*')? else { return Ok(None) };
    let Some(kind) = at.string()? else { return Ok(None) };
    let Some(name) = at.string()? else { return Ok(None) };
    let channel = || Bytes::copy_from_slice(name);
    match (kind, parts) {
        (b"message", 3) => {
            let Some(length) = at.number(b'$')? else { return Ok(None) };
            if length > longest_message {
                return Ok(Some((Reply::TooLarge { channel: channel() }, length.saturating_add(2))));
            }
            let Some(message) = at.take(length)? else { return Ok(None) };
            // A copy: a slice would keep the whole buffer for as long as a slow listener waits.
            Ok(Some((Reply::Message { channel: channel(), message: Bytes::copy_from_slice(message) }, 0)))
        }
        (b"subscribe" | b"unsubscribe", 3) => {
            let Some(_count) = at.number(b':')? else { return Ok(None) };
            let subscribed = kind == b"subscribe";
            let reply = if subscribed { Reply::Subscribed { channel: channel() } } else { Reply::Unsubscribed };
            Ok(Some((reply, 0)))
        }
        (b"pong", 2) => Ok(Some((Reply::Pong, 0))),
        _ => Err(Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+PONG\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n\
        *3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n\r\n$1\r\n*3\r\n$7\r\nmessage\r\n$2\r\ncc\r\n$9\r\n*3\r\n$7\r\n0\r\n\
        -NOPERM no\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n";

    fn read(chunk: usize) -> Vec<String> {
        let mut replies = Replies::new(8);
        let mut read = Vec::new();
        for chunk in STREAM.chunks(chunk) {
            replies.buffer.extend_from_slice(chunk);
            while let Some(reply) = replies.next().expect("what a server says") {
                read.push(match reply {
                    Reply::Message { channel, message } => format!("{channel:?} {message:?}"),
                    Reply::TooLarge { channel } => format!("{channel:?} too large"),
                    Reply::Subscribed { channel } => format!("listening {channel:?}"),
                    Reply::Unsubscribed => "gone".to_owned(),
                    Reply::Pong => "pong".to_owned(),
                    Reply::Refused(said) => format!("refused {}", said.code()),
                });
            }
        }
        read
    }

    #[test]
    fn replies_are_read_however_they_are_cut() {
        let expected = [
            "listening b\"c\"",
            "pong",
            "pong",
            "b\"c\" b\"\\r\\n$1\"",
            "b\"cc\" too large",
            "refused NOPERM",
            "b\"c\" b\"\"",
            "gone",
        ];
        for chunk in 1..=STREAM.len() {
            assert_eq!(read(chunk), expected, "in pieces of {chunk}");
        }
    }

    #[test]
    fn what_no_server_says_is_nonsense_and_is_not_kept() {
        let long = [b"+", &[b'x'; LONGEST_LINE][..], b"x"].concat();
        let name = format!("*3\r\n$7\r\nmessage\r\n${}\r\n", LONGEST_LINE + 1);
        for said in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b":1\r\n",
            b"+OK\r\n",
            b"*-1\r\n",
            b"*3\r\n$8\r\npmessage\r\n$1\r\nc\r\n$0\r\n\r\n",
            b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",
            b"*3\r\n$7\r\nmessage\r\n$1\r\ncx\r\n",
            b"*4\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n",
            &long,
            name.as_bytes(),
        ] {
            let mut replies = Replies::new(8);
            replies.buffer.extend_from_slice(said);
            assert!(replies.next().is_err(), "{:?}", String::from_utf8_lossy(said));
        }
    }
}
