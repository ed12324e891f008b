//! The first ten bytes of everything in L2, public for backends that compare them (leases).
//!
//! `C7 | version:4 kind:4 | nonce[8]`

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use fastrand::Rng;

/// Length of a [`Head`] in bytes.
pub const HEAD_LEN: usize = 10;
/// First byte of every L2 value.
pub const MAGIC: u8 = 0xC7;
/// Version of the format that this library writes.
pub const VERSION: u8 = 1;

/// What an L2 string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A value.
    Value,
    /// Known to be absent.
    Absent,
    /// Somebody holds a lease and loads.
    Lease,
    /// Somebody is writing the source: load, fill nothing.
    Hold,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Value => 0,
            Self::Absent => 1,
            Self::Lease => 2,
            Self::Hold => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Value,
            1 => Self::Absent,
            2 => Self::Lease,
            3 => Self::Hold,
            _ => return None,
        })
    }
}

/// Kind and nonce of an L2 string. The nonce is random per write attempt, so two writes are never confused.
///
/// Nonces come from a generator in each thread that is seeded by the operating system, so they differ between machines
/// that are clones of one image, whatever their clocks say. (Not where a machine is cloned while the process runs: the
/// clones go on alike. Such processes are to be started after the clone is made.)
///
/// ```
/// use accelerator_core::head::{Head, Kind};
/// let head = Head { kind: Kind::Lease, nonce: 7 };
/// assert_eq!(Head::parse(&head.to_bytes()), Some(head));
/// assert_eq!(Head::parse(b"garbage..."), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What follows.
    pub kind: Kind,
    /// Random per write attempt.
    pub nonce: u64,
}

impl Head {
    /// A head with a fresh nonce.
    #[must_use]
    pub fn random(kind: Kind) -> Self {
        Self { kind, nonce: nonce() }
    }

    /// The ten bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEAD_LEN] {
        let mut out = [0; HEAD_LEN];
        out[0] = MAGIC;
        out[1] = VERSION << 4 | self.kind.code();
        out[2..].copy_from_slice(&self.nonce.to_le_bytes());
        out
    }

    /// Reads the head of `bytes`; `None` where they are not ours, of an unknown version or of an unknown kind.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD_LEN] = bytes.first_chunk()?;
        if head[0] != MAGIC || head[1] >> 4 != VERSION {
            return None;
        }
        let nonce = u64::from_le_bytes(*head[2..].first_chunk()?);
        Some(Self { kind: Kind::from_code(head[1] & 15)?, nonce })
    }
}

thread_local! {
    static NONCES: RefCell<Rng> = RefCell::new(seeded());
}

/// The state of std's hashers comes from the operating system, once per thread; no nonce costs a system call.
fn seeded() -> Rng {
    Rng::with_seed(RandomState::new().hash_one(std::thread::current().id()))
}

fn nonce() -> u64 {
    // A thread that ends has no generator any more.
    NONCES.try_with(|nonces| nonces.borrow_mut().u64(..)).unwrap_or_else(|_| seeded().u64(..))
}
