//! L2 stores with one defect in their holds each, and the laws that name it.

use std::time::Duration;

use accelerator_core::testkit::ManualClock;
use accelerator_core::testkit::laws::{Time, l2::failures};
use accelerator_core::{Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, StoreResult, async_trait};

use super::leasing::LeasingL2;

/// What may be wrong with holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    UnholdEndsAll,
    UnholdDoesNothing,
    UnholdLeavesWhatIsThere,
    DeleteEndsHolds,
    SetEndsHolds,
    SetOfAHeldKeyIsFine,
    BatchSetEndsHolds,
    BatchDeleteEndsHolds,
    NewestHoldReplaces,
    HoldsShareOneEnd,
    LaterHoldShortens,
    LooksThenHolds,
}

use Defect::*;

struct Broken {
    defect: Defect,
    inner: LeasingL2,
}

#[async_trait]
impl L2Store for Broken {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.inner.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        match self.defect {
            SetEndsHolds => self.inner.remove(key),
            SetOfAHeldKeyIsFine => return self.inner.set(key, value, ttl).await.or(Ok(())),
            _ => {}
        }
        self.inner.set(key, value, ttl).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        if self.defect == DeleteEndsHolds {
            self.inner.remove(key);
        }
        self.inner.del(key).await
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Vec::new();
        for (key, value, ttl) in items {
            if self.defect == BatchSetEndsHolds {
                self.inner.remove(key);
            }
            out.push(self.set(key, value, ttl).await);
        }
        out
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut out = Vec::new();
        for key in keys {
            if self.defect == BatchDeleteEndsHolds {
                self.inner.remove(key);
            }
            out.push(self.del(key).await);
        }
        out
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.inner.get_or_lease(key, lease).await
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.inner.fill(key, token, value, ttl).await
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        self.inner.renew(key, token, lease).await
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.inner.release(key, token).await
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        match self.defect {
            NewestHoldReplaces => self.inner.remove(key),
            HoldsShareOneEnd | LaterHoldShortens => {
                let (end, mut holds) = (self.inner.end_of(hold), self.inner.holds(key).unwrap_or_default());
                for (_, until) in &mut holds {
                    *until = if self.defect == HoldsShareOneEnd { end.max(*until) } else { end };
                }
                self.inner.put_holds(key, holds);
            }
            LooksThenHolds => {
                let mut holds = self.inner.holds(key).unwrap_or_default();
                tokio::task::yield_now().await;
                holds.retain(|(of, _)| *of != owner);
                holds.push((owner, self.inner.end_of(hold)));
                self.inner.put_holds(key, holds);
                return Ok(());
            }
            _ => {}
        }
        self.inner.hold(key, owner, hold).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        match self.defect {
            UnholdEndsAll => self.inner.remove(key),
            UnholdDoesNothing => return Ok(()),
            UnholdLeavesWhatIsThere if self.inner.holds(key).is_none() => return Ok(()),
            _ => {}
        }
        self.inner.unhold(key, owner).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

/// The laws that a store with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let clock = ManualClock::new();
        (Broken { defect, inner: LeasingL2::new(clock.clone()) }, Time::moved(move |by| clock.tick(by)))
    })
}

#[test]
fn each_defect_of_holds_is_named_by_the_laws_it_breaks() {
    let expected: &[(Defect, &[&str])] = &[
        (Sound, &[]),
        (UnholdLeavesWhatIsThere, &["an_end_of_no_hold_is_a_delete"]),
        (DeleteEndsHolds, &["a_delete_or_set_leaves_a_hold", "a_batch_leaves_a_hold"]),
        (SetEndsHolds, &["a_delete_or_set_leaves_a_hold", "a_batch_leaves_a_hold"]),
        (SetOfAHeldKeyIsFine, &["a_delete_or_set_leaves_a_hold", "a_batch_leaves_a_hold"]),
        (BatchSetEndsHolds, &["a_batch_leaves_a_hold"]),
        (BatchDeleteEndsHolds, &["a_batch_leaves_a_hold"]),
        (HoldsShareOneEnd, &["each_hold_ends_at_its_own_time"]),
        (LaterHoldShortens, &["each_hold_ends_at_its_own_time"]),
        (LooksThenHolds, &["of_many_holds_at_once_each_counts"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // These break much of what holds are for; the law that names the defect is among those that fail.
    let expected = [
        (UnholdEndsAll, "a_hold_ends_by_its_owner_alone"),
        (UnholdDoesNothing, "a_hold_ends_by_its_owner_alone"),
        (NewestHoldReplaces, "many_holds_of_one_key_are_counted"),
    ];
    for (defect, law) in expected {
        let caught = caught(defect);
        assert!(caught.contains(&law), "{defect:?}: {caught:?}");
    }
}
