//! Replies, read with limits: nothing that a server says is trusted further than it was asked.

use accelerator_core::{Bytes, StoreErrorKind};
use bytes::{Buf, BytesMut};

use crate::error::Fault;

/// The longest line of a reply. The replies that we ask for stay far below.
const LONGEST_LINE: usize = 2048;
/// Below this, it is better to make room before reading on.
pub(crate) const ROOM: usize = 1024;
/// Values up to this size are copied out of the read buffer, so that a small value doesn't keep the buffer alive.
const COPIED: usize = 4096;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// `VA`: here is the item.
    Value,
    /// `HD`: done.
    Done,
    /// `EN`: a read found nothing.
    Missing,
    /// `EX`: the item has another CAS number.
    Replaced,
    /// `NF`: there is no item.
    Gone,
    /// `NS`, or the server had no memory: nothing was stored.
    Refused,
    /// The server takes no item of this size.
    TooLarge,
}

/// One reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    /// With [`Status::Value`]: the bytes of the item.
    pub(crate) value: Bytes,
    /// Zero where it was not asked for, and where the server has none (`-C`).
    pub(crate) cas: u64,
    /// What the item has to live, in seconds. Zero where it was not asked for, and where it has no end.
    pub(crate) left: u32,
    /// The client flags of the item: what it was given to live, in seconds. Zero where it was not asked for, and in items
    /// that are not of this store.
    pub(crate) flags: u32,
    /// `W`: whoever asked now has the lease.
    pub(crate) won: bool,
    /// `Z`: somebody else has it.
    pub(crate) leased: bool,
    /// `X`: the value was invalidated softly.
    pub(crate) stale: bool,
}

/// Takes the next reply out of `buffer`, or makes room for the rest of it. It must answer the request `opaque`.
pub(crate) fn next(buffer: &mut BytesMut, opaque: u32, limit: usize) -> Result<Option<Reply>, Fault> {
    let Some(line) = line(buffer)? else { return Ok(None) };
    let (mut reply, length) = header(&buffer[..line.length], opaque)?;
    let Some(length) = length else {
        buffer.advance(line.whole);
        return Ok(Some(reply));
    };
    if length > limit {
        return Err(Fault::new(StoreErrorKind::TooLarge, "the value exceeds max_value_bytes"));
    }
    let whole = line.whole + length + 2;
    if buffer.len() < whole {
        // With room for the beginning of what follows, so that nothing of this size is ever moved.
        buffer.reserve(whole - buffer.len() + ROOM);
        return Ok(None);
    }
    if &buffer[whole - 2..whole] != b"\r\n" {
        return Err(Fault::protocol("a value has another length than announced"));
    }
    buffer.advance(line.whole);
    reply.value = if length <= COPIED {
        let value = Bytes::copy_from_slice(&buffer[..length]);
        buffer.advance(length);
        value
    } else {
        buffer.split_to(length).freeze()
    };
    buffer.advance(2);
    Ok(Some(reply))
}

/// A line at the beginning of a buffer, without and with its end.
pub(crate) struct TextLine {
    pub(crate) length: usize,
    pub(crate) whole: usize,
}

/// The first line of `buffer`, once it is there.
pub(crate) fn line(buffer: &[u8]) -> Result<Option<TextLine>, Fault> {
    match buffer.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && buffer[end - 1] == b'\r' => Ok(Some(TextLine { length: end - 1, whole: end + 1 })),
        Some(_) => Err(Fault::protocol("a line doesn't end as lines do")),
        None if buffer.len() >= LONGEST_LINE => Err(Fault::protocol("a line doesn't end")),
        None => Ok(None),
    }
}

/// What a line that is no reply means.
pub(crate) fn error(line: &[u8]) -> Fault {
    if line.starts_with(b"ERROR Too many open connections") {
        return Fault::unavailable(
            "it has no room for another connection (its option -c); use a smaller max_connections",
        );
    }
    if line.starts_with(b"CLIENT_ERROR unauthenticated") {
        return Fault::unsupported("it wants a user name and password, which this store doesn't speak");
    }
    if line == b"ERROR" || line.starts_with(b"CLIENT_ERROR") {
        return Fault::protocol("it doesn't understand a command: this store needs memcached 1.6.10 or newer");
    }
    Fault::protocol("the answer is not one of memcached's")
}

fn header(line: &[u8], opaque: u32) -> Result<(Reply, Option<usize>), Fault> {
    let mut tokens = line.split(|byte| *byte == b' ');
    let status = match tokens.next().unwrap_or_default() {
        b"VA" => Status::Value,
        b"HD" => Status::Done,
        b"EN" => Status::Missing,
        b"EX" => Status::Replaced,
        b"NF" => Status::Gone,
        b"NS" => Status::Refused,
        b"SERVER_ERROR" if line.starts_with(b"SERVER_ERROR object too large") => Status::TooLarge,
        b"SERVER_ERROR" => Status::Refused,
        _ => return Err(error(line)),
    };
    let mut reply =
        Reply { status, value: Bytes::new(), cas: 0, left: 0, flags: 0, won: false, leased: false, stale: false };
    if line.starts_with(b"SERVER_ERROR") {
        return Ok((reply, None));
    }
    let length = match status {
        Status::Value => {
            let length = tokens.next().and_then(number).and_then(|n| usize::try_from(n).ok());
            Some(length.ok_or_else(|| Fault::protocol("a value without a length"))?)
        }
        _ => None,
    };
    let mut echoed = None;
    for token in tokens {
        match token {
            b"W" => reply.won = true,
            b"Z" => reply.leased = true,
            b"X" => reply.stale = true,
            [b'c', digits @ ..] => {
                reply.cas = number(digits).ok_or_else(|| Fault::protocol("a CAS that is no number"))?
            }
            [b't', digits @ ..] => {
                reply.left = number(digits).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
            }
            [b'f', digits @ ..] => {
                reply.flags = number(digits).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
            }
            [b'O', digits @ ..] => echoed = number(digits),
            _ => {}
        }
    }
    // Not every version repeats it where nothing was found.
    if echoed == Some(u64::from(opaque)) || echoed.is_none() && status == Status::Missing {
        Ok((reply, length))
    } else {
        Err(Fault::protocol("the answer belongs to another request"))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, Fault> {
        next(&mut BytesMut::from(bytes), 7, 100)
    }

    fn whole(bytes: &[u8]) -> Reply {
        read(bytes).expect("a reply").expect("a whole one")
    }

    #[test]
    fn replies_are_understood() {
        let reply = whole(b"VA 2 c12 O7 W\r\nhi\r\n");
        assert_eq!((reply.status, &*reply.value, reply.cas, reply.won), (Status::Value, &b"hi"[..], 12, true));
        assert!(!reply.leased && !reply.stale);
        assert_eq!(whole(b"VA 2 c12 t10 O7\r\nhi\r\n").left, 10);
        let reply = whole(b"VA 0 c12 f0 t-1 s0 O7 Z X\r\n\r\n");
        assert_eq!(reply.left, 0);
        assert!(reply.leased && reply.stale && !reply.won && reply.value.is_empty());
        for (line, status) in [
            (&b"HD O7\r\n"[..], Status::Done),
            (b"EN O7\r\n", Status::Missing),
            (b"EN\r\n", Status::Missing),
            (b"EX O7\r\n", Status::Replaced),
            (b"NF O7\r\n", Status::Gone),
            (b"NS O7\r\n", Status::Refused),
            (b"SERVER_ERROR out of memory storing object\r\n", Status::Refused),
            (b"SERVER_ERROR object too large for cache\r\n", Status::TooLarge),
        ] {
            assert_eq!(whole(line).status, status);
        }
    }

    #[test]
    fn what_is_not_whole_waits_and_what_follows_stays() {
        let reply = b"VA 5 O7\r\na\r\nbc\r\n";
        for cut in 0..reply.len() {
            assert!(read(&reply[..cut]).expect("no error").is_none(), "after {cut} bytes");
        }
        let mut buffer = BytesMut::from(&[&reply[..], b"HD O8\r\n"].concat()[..]);
        assert_eq!(next(&mut buffer, 7, 100).unwrap().unwrap().value, &b"a\r\nbc"[..]);
        assert_eq!(next(&mut buffer, 8, 100).unwrap().unwrap().status, Status::Done);
        assert!(buffer.is_empty());
    }

    #[test]
    fn large_values_come_whole() {
        let value = vec![7; COPIED + 1];
        let mut buffer = BytesMut::from(&[b"VA 4097 O7\r\n", &value[..], b"\r\nHD O8\r\n"].concat()[..]);
        assert_eq!(next(&mut buffer, 7, COPIED + 1).unwrap().unwrap().value, value);
        assert_eq!(&buffer[..], b"HD O8\r\n");
    }

    #[test]
    fn garbage_is_an_error() {
        let cases: [&[u8]; 19] = [
            b"\r\n",
            b"\n",
            b"HD O7\n",
            b"HD\r\n",
            b"HD O8\r\n",
            b"HD Ox\r\n",
            b"VA\r\n",
            b"VA x O7\r\n",
            b"VA -1 O7\r\n",
            b"VA +1 O7\r\n",
            b"VA 99999999999999999999 O7\r\n",
            b"VA 1 O7\r\nabc",
            b"VA 1 cx O7\r\na\r\n",
            b"ERROR\r\n",
            b"ERROR Too many open connections\r\n",
            b"CLIENT_ERROR bad command line format\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\0\xFF\r\n",
            &[b'x'; LONGEST_LINE],
        ];
        for bytes in cases {
            assert!(read(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert!(read(b"VA 101 O7\r\n").is_err(), "a value over the limit");
        assert!(read(&[b'x'; LONGEST_LINE - 1]).unwrap().is_none());
    }
}
