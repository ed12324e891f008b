//! Tokens: what a CAS number is worth, and to whom.

use accelerator_core::LeaseToken;

use crate::connection::pool::Which;

/// A CAS number, and the connections over which it means something.
///
/// A server counts CAS numbers from one again after a restart, so a number alone proves nothing. A connection that was
/// there before the number was given, and is still there, leads to the process that gave it. See
/// docs/adr/0014-memcached-leases.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The hash of the server's name.
    pub(crate) server: u64,
    pub(crate) witnesses: Which,
    pub(crate) cas: u64,
    /// It is a lease, and no value that was seen.
    pub(crate) leased: bool,
}

/// Where a token says that it is of a lease; eras are counted far below.
const LEASED: u64 = 1 << 63;

impl Proof {
    pub(crate) fn of_lease(self) -> Self {
        Self { leased: true, ..self }
    }

    pub(crate) fn token(self) -> LeaseToken {
        let (era, than) = match self.witnesses {
            Which::NotYounger { era, than } => (era, than),
            Which::Any => (0, 0),
        };
        let era = if self.leased { era | LEASED } else { era };
        let mut bytes = [0; 32];
        for (part, number) in bytes.chunks_exact_mut(8).zip([self.server, era, than, self.cas]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        LeaseToken::new(bytes)
    }

    pub(crate) fn of(token: &LeaseToken) -> Self {
        let mut numbers = token.proof().chunks_exact(8).map(|part| {
            let mut number = [0; 8];
            number.copy_from_slice(part);
            u64::from_le_bytes(number)
        });
        let mut next = || numbers.next().unwrap_or_default();
        let (server, era, than, cas) = (next(), next(), next(), next());
        Self { server, witnesses: Which::NotYounger { era: era & !LEASED, than }, cas, leased: era & LEASED > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let proof = Proof {
            server: u64::MAX,
            witnesses: Which::NotYounger { era: 1, than: 2 },
            cas: u64::MAX - 1,
            leased: false,
        };
        assert_eq!(Proof::of(&proof.token()), proof);
        assert_eq!(Proof::of(&proof.of_lease().token()), proof.of_lease());
        let nothing = Proof { server: 0, witnesses: Which::NotYounger { era: 0, than: 0 }, cas: 0, leased: false };
        assert_eq!(Proof::of(&LeaseToken::new([0; 32])), nothing);
    }
}
