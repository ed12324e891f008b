//! L2 stores with one defect in their leases each, and the laws that name it.

use std::time::Duration;

use accelerator_core::testkit::ManualClock;
use accelerator_core::testkit::laws::{Time, l2::failures};
use accelerator_core::{Bytes, Filled, L2Read, L2Store, LeaseToken, Limits, StoreResult, async_trait};

use super::leasing::LeasingL2;

/// What may be wrong with leases.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    GrantedTwice,
    FillIgnoresTheToken,
    FillStoresNothing,
    DeleteLeavesTheLease,
    ReleaseIgnoresTheToken,
    ReleaseDoesNothing,
    HoldDoesNothing,
    NeverEnds,
    BatchOutOfOrder,
}

use Defect::*;

struct Broken(Defect, LeasingL2);

#[async_trait]
impl L2Store for Broken {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.1.get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.1.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        let leased = matches!(self.1.get_or_lease(key, Duration::ZERO).await, Ok(L2Read::Busy { .. }));
        if self.0 == DeleteLeavesTheLease && leased { Ok(()) } else { self.1.del(key).await }
    }
    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        let lease = if self.0 == NeverEnds { lease * 100 } else { lease };
        let read = self.1.get_or_lease(key, lease).await?;
        if self.0 == GrantedTwice && matches!(read, L2Read::Busy { .. }) {
            self.1.del(key).await?;
            return self.1.get_or_lease(key, lease).await;
        }
        Ok(read)
    }
    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Vec::new();
        for key in keys {
            out.push(self.get_or_lease(key, lease).await);
        }
        if self.0 == BatchOutOfOrder {
            out.reverse();
        }
        out
    }
    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        match self.0 {
            FillIgnoresTheToken => self.1.set(key, value, ttl).await.map(|()| Filled::Stored),
            FillStoresNothing => Ok(Filled::Stored),
            _ => self.1.fill(key, token, value, ttl).await,
        }
    }
    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        match self.0 {
            ReleaseIgnoresTheToken => self.1.del(key).await,
            ReleaseDoesNothing => Ok(()),
            _ => self.1.release(key, token).await,
        }
    }
    async fn hold(&self, key: &str, hold: Duration) -> StoreResult<()> {
        if self.0 == HoldDoesNothing { Ok(()) } else { self.1.hold(key, hold).await }
    }
    fn limits(&self) -> Limits {
        self.1.limits()
    }
}

/// The laws that a store with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let clock = ManualClock::new();
        (Broken(defect, LeasingL2::new(clock.clone())), Time::moved(move |by| clock.tick(by)))
    })
}

#[test]
fn a_store_without_defect_keeps_all_laws() {
    assert_eq!(caught(Sound), [""; 0]);
}

#[test]
fn each_defect_is_named_by_the_laws_it_breaks() {
    let expected: &[(Defect, &[&str])] = &[
        (GrantedTwice, &["a_lease_is_granted_once", "lease_batches_answer_in_order"]),
        (DeleteLeavesTheLease, &["a_fill_after_a_delete_is_lost"]),
        (ReleaseIgnoresTheToken, &["a_released_lease_is_free", "a_hold_blocks_leases_and_older_fills"]),
        (ReleaseDoesNothing, &["a_released_lease_is_free"]),
        (HoldDoesNothing, &["a_hold_blocks_leases_and_older_fills"]),
        (NeverEnds, &["a_lease_ends"]),
        (BatchOutOfOrder, &["lease_batches_answer_in_order"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // These break nearly everything that leases are for; the law that names the defect is among those that fail.
    for (defect, law) in [
        (FillIgnoresTheToken, "a_used_token_fills_nothing"),
        (FillIgnoresTheToken, "a_fill_after_a_set_is_lost"),
        (FillIgnoresTheToken, "a_value_seen_can_be_replaced_once"),
        (FillStoresNothing, "a_fill_under_the_lease_is_stored"),
    ] {
        let laws = caught(defect);
        assert!(laws.contains(&law), "{defect:?}: {laws:?}");
    }
}
