//! L2 stores with one defect in their leases each, and the laws that name it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use accelerator_core::head::{Head, Kind};
use accelerator_core::testkit::laws::restart::a_restart_ends_leases;
use accelerator_core::testkit::laws::{Time, l2::failures};
use accelerator_core::testkit::{ManualClock, MemoryL2, block_on};
use accelerator_core::{
    Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, Outcomes, StoreError, StoreErrorKind, StoreResult,
    async_trait,
};

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
    ReleaseIsForLeasesOnly,
    HoldDoesNothing,
    NeverEnds,
    BatchOutOfOrder,
    PlainReadShowsTheMark,
    ForeignBytesAreAnError,
    EndlessIsNothing,
    NothingIsForEver,
    HoldNeverEnds,
    FillIgnoresItsTtl,
    LateFillIsTaken,
    OneTokenForAll,
    AnyTokenOfZeros,
    SeenIsSeenForEver,
    DuplicatesGetCopies,
    LargeBatchesAreCut,
    EmptyBatchHasAnAnswer,
    BatchFillsLeaveTheLease,
    LooksThenLeases,
    LooksThenFills,
    RepliesGetOutOfStep,
    FillKeepsAPartOfALargeValue,
    NumbersStartAgain,
    RenewalDoesNothing,
    RenewalIgnoresTheToken,
    RenewalBeginsAnew,
    RenewalMarksValues,
    RenewalNeverEnds,
    RenewalsOutOfOrder,
    RenewedTokensAreDead,
    GivenUpIsKept,
    OutcomesInReverse,
}

use Defect::*;

/// The longest value, in bytes: small enough that the laws go beyond it.
const MOST: usize = 100_000;
const LONG: Duration = Duration::from_secs(1_000_000);
const ONE_FOR_ALL: LeaseToken = LeaseToken::new([1; 32]);

struct Broken {
    defect: Defect,
    inner: LeasingL2,
    /// The last lease of each key that nothing has ended but time.
    given: Mutex<HashMap<String, LeaseToken>>,
    /// What was seen, ever.
    seen: Mutex<HashSet<LeaseToken>>,
    replies: Mutex<VecDeque<L2Read>>,
}

impl Broken {
    fn new(defect: Defect, clock: ManualClock) -> Self {
        let inner = LeasingL2::new(clock);
        Self { defect, inner, given: Mutex::default(), seen: Mutex::default(), replies: Mutex::default() }
    }

    fn end(&self, key: &str) {
        self.given.lock().expect("lock").remove(key);
    }

    fn last_given(&self, key: &str) -> Option<LeaseToken> {
        self.given.lock().expect("lock").get(key).copied()
    }

    async fn is_leased(&self, key: &str) -> bool {
        self.inner.is_there(key) && matches!(self.inner.get_or_lease(key, LONG).await, Ok(L2Read::Busy))
    }

    /// The token as the sound store knows it.
    fn inward(&self, key: &str, token: &LeaseToken) -> LeaseToken {
        let known = match self.defect {
            OneTokenForAll if *token == ONE_FOR_ALL => self.last_given(key),
            _ => None,
        };
        known.unwrap_or(*token)
    }
}

#[async_trait]
impl L2Store for Broken {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        if self.defect == PlainReadShowsTheMark && self.is_leased(key).await {
            return Ok(Some(Bytes::copy_from_slice(&Head::random(Kind::Lease).to_bytes())));
        }
        self.inner.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.end(key);
        if value.len() > MOST {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "too large"));
        }
        self.inner.set(key, value, ttl).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        if self.defect == DeleteLeavesTheLease && self.is_leased(key).await {
            return Ok(());
        }
        self.end(key);
        self.inner.del(key).await
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        let lease = match self.defect {
            NeverEnds => LONG,
            EndlessIsNothing if lease == Duration::MAX => Duration::ZERO,
            NothingIsForEver if lease.is_zero() => LONG,
            _ => lease,
        };
        if self.defect == LooksThenLeases && !self.inner.is_there(key) {
            tokio::task::yield_now().await;
            self.inner.del(key).await?;
        }
        let mut read = self.inner.get_or_lease(key, lease).await?;
        if self.defect == GivenUpIsKept {
            tokio::task::yield_now().await;
        }
        match &mut read {
            L2Read::Leased { token, .. } => {
                self.given.lock().expect("lock").insert(key.to_owned(), *token);
                if self.defect == OneTokenForAll {
                    *token = ONE_FOR_ALL;
                }
            }
            L2Read::Busy if self.defect == GrantedTwice => {
                self.inner.del(key).await?;
                return self.inner.get_or_lease(key, lease).await;
            }
            L2Read::Hit { bytes, .. } if self.defect == ForeignBytesAreAnError && Head::parse(bytes).is_none() => {
                return Err(StoreError::new(StoreErrorKind::Protocol, "no head"));
            }
            L2Read::Hit { seen: Some(seen), .. } => {
                self.seen.lock().expect("lock").insert(*seen);
            }
            _ => {}
        }
        if self.defect == RepliesGetOutOfStep {
            self.replies.lock().expect("lock").push_back(read);
            tokio::task::yield_now().await;
            read = self.replies.lock().expect("lock").pop_front().expect("a reply for each question");
        }
        Ok(read)
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out: Vec<StoreResult<L2Read>> = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let before = keys[..n].iter().position(|earlier| earlier == key);
            let copy =
                before.filter(|_| self.defect == DuplicatesGetCopies).and_then(|n| out[n].as_ref().ok().cloned());
            out.push(match copy {
                Some(copy) => Ok(copy),
                None if self.defect == LargeBatchesAreCut && n >= 512 => Ok(L2Read::NoLease),
                None => self.get_or_lease(key, lease).await,
            });
        }
        match self.defect {
            BatchOutOfOrder => out.reverse(),
            EmptyBatchHasAnAnswer if keys.is_empty() => out.push(Ok(L2Read::NoLease)),
            _ => {}
        }
        out
    }

    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        let reads = self.mget_or_lease(keys, lease).await;
        match self.defect {
            OutcomesInReverse => reads.into_iter().rev().enumerate().for_each(|(n, read)| out.put(n, read)),
            _ => out.put_all(reads),
        }
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        let token = self.inward(key, token);
        let seen_once = self.seen.lock().expect("lock").contains(&token);
        let late = self.last_given(key) == Some(token) && !self.inner.is_there(key);
        let unconditional = match self.defect {
            FillIgnoresTheToken => true,
            LateFillIsTaken => late,
            AnyTokenOfZeros => token == LeaseToken::new([0; 32]),
            SeenIsSeenForEver => seen_once,
            LooksThenFills => {
                let stands = self.inner.stands(key, &token);
                tokio::task::yield_now().await;
                stands
            }
            _ => false,
        };
        if value.len() > MOST && self.defect != FillKeepsAPartOfALargeValue {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "too large"));
        }
        let value = value.slice(..value.len().min(MOST));
        if unconditional {
            self.end(key);
            return self.inner.set(key, value, ttl).await.map(|()| Filled::Stored);
        }
        let ttl = if self.defect == FillIgnoresItsTtl { LONG } else { ttl };
        match self.defect {
            FillStoresNothing => Ok(Filled::Stored),
            _ => {
                let filled = self.inner.fill(key, &token, value, ttl).await?;
                if filled == Filled::Stored {
                    self.end(key);
                }
                Ok(filled)
            }
        }
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Vec::new();
        for (n, (key, token, value, ttl)) in items.iter().enumerate() {
            let again = items[..n].iter().any(|earlier| earlier.0 == *key);
            let filled = self.fill(key, token, value.clone(), *ttl).await;
            out.push(if again && self.defect == BatchFillsLeaveTheLease { Ok(Filled::Stored) } else { filled });
        }
        out
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        let inward = self.inward(key, token);
        let stands = self.inner.stands(key, &inward);
        let is_leased = self.is_leased(key).await;
        let renewed = match self.defect {
            RenewalDoesNothing => (stands && is_leased).then_some(inward),
            RenewalIgnoresTheToken if is_leased => {
                self.inner.del(key).await?;
                token_of(self.inner.get_or_lease(key, lease).await?)
            }
            RenewalBeginsAnew if !self.inner.is_there(key) => token_of(self.inner.get_or_lease(key, lease).await?),
            RenewalMarksValues if stands && !is_leased => {
                self.inner.del(key).await?;
                token_of(self.inner.get_or_lease(key, lease).await?)
            }
            RenewalNeverEnds => self.inner.renew(key, &inward, LONG).await?,
            RenewedTokensAreDead => self.inner.renew(key, &inward, lease).await?.map(|_| inward),
            _ => self.inner.renew(key, &inward, lease).await?,
        };
        match renewed {
            Some(renewed) if self.last_given(key) == Some(inward) => {
                self.given.lock().expect("lock").insert(key.to_owned(), renewed);
                Ok(Some(if self.defect == OneTokenForAll { ONE_FOR_ALL } else { renewed }))
            }
            renewed => Ok(renewed),
        }
    }

    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        let mut out = Vec::new();
        for (key, token) in items {
            out.push(self.renew(key, &token, lease).await);
        }
        if self.defect == RenewalsOutOfOrder {
            out.reverse();
        }
        out
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        match self.defect {
            ReleaseIgnoresTheToken => {
                self.inner.remove(key);
                Ok(())
            }
            ReleaseDoesNothing => Ok(()),
            ReleaseIsForLeasesOnly if self.get(key).await?.is_some() => Ok(()),
            _ => {
                let token = self.inward(key, &token);
                if self.inner.stands(key, &token) {
                    self.end(key);
                }
                self.inner.release(key, token).await
            }
        }
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.end(key);
        let hold = match self.defect {
            HoldDoesNothing => return Ok(()),
            HoldNeverEnds => LONG,
            EndlessIsNothing if hold == Duration::MAX => Duration::ZERO,
            NothingIsForEver if hold.is_zero() => LONG,
            _ => hold,
        };
        self.inner.hold(key, owner, hold).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.end(key);
        self.inner.unhold(key, owner).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits().max_value_bytes(MOST)
    }
}

fn token_of(read: L2Read) -> Option<LeaseToken> {
    if let L2Read::Leased { token, .. } = read { Some(token) } else { None }
}

/// The laws that a store with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let clock = ManualClock::new();
        (Broken::new(defect, clock.clone()), Time::moved(move |by| clock.tick(by)))
    })
}

#[test]
fn a_store_without_defect_keeps_all_laws() {
    assert_eq!(caught(Sound), [""; 0]);
}

#[test]
fn each_defect_is_named_by_the_laws_it_breaks() {
    // These break one thing, and few laws see it.
    let expected: &[(Defect, &[&str])] = &[
        (ForeignBytesAreAnError, &["a_read_for_a_lease_finds_what_a_plain_read_finds"]),
        (EndlessIsNothing, &["endless_leases_are_taken"]),
        (NothingIsForEver, &["leases_and_holds_of_no_time_end"]),
        (HoldNeverEnds, &["a_hold_ends", "each_hold_ends_at_its_own_time", "leases_and_holds_of_no_time_end"]),
        (FillIgnoresItsTtl, &["a_fill_brings_its_own_ttl"]),
        (LateFillIsTaken, &["a_fill_after_the_end_of_its_lease_is_lost"]),
        (AnyTokenOfZeros, &["a_foreign_token_is_worth_nothing"]),
        (DuplicatesGetCopies, &["a_key_named_twice_is_leased_and_filled_once"]),
        (LargeBatchesAreCut, &["a_large_lease_batch_is_answered_whole"]),
        (EmptyBatchHasAnAnswer, &["an_empty_lease_batch_has_no_answers"]),
        (BatchFillsLeaveTheLease, &["a_key_named_twice_is_leased_and_filled_once"]),
        (
            LooksThenLeases,
            &["of_many_readers_at_once_one_gets_the_lease", "of_many_batches_at_once_one_gets_each_lease"],
        ),
        (LooksThenFills, &["of_many_fills_at_once_one_is_stored", "a_fill_racing_a_delete_leaves_nothing"]),
        (FillKeepsAPartOfALargeValue, &["values_beyond_the_limit_are_refused_or_kept_whole"]),
        (OutcomesInReverse, &["lease_outcomes_are_put_at_the_places_of_their_keys"]),
        (ReleaseIsForLeasesOnly, &["a_value_seen_can_be_removed"]),
        (RenewalDoesNothing, &["a_renewed_lease_stands_longer", "a_renewal_ends"]),
        (RenewalIgnoresTheToken, &["a_lease_that_is_gone_is_not_renewed", "a_foreign_token_renews_nothing"]),
        (RenewalMarksValues, &["a_value_seen_is_not_renewed"]),
        (RenewalNeverEnds, &["a_renewal_ends"]),
        (RenewalsOutOfOrder, &["renewals_of_a_batch_answer_in_order"]),
        (GivenUpIsKept, &["a_read_that_is_given_up_leaves_no_lease"]),
        (SeenIsSeenForEver, &["a_value_seen_can_be_replaced_once", "a_value_seen_and_gone_is_not_replaced"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // These break much of what leases are for; the laws that name the defect are among those that fail.
    let expected: &[(Defect, &[&str])] = &[
        (
            GrantedTwice,
            &["a_lease_is_granted_once", "lease_batches_answer_in_order", "of_many_readers_at_once_one_gets_the_lease"],
        ),
        (
            FillIgnoresTheToken,
            &["a_used_token_fills_nothing", "a_fill_after_a_set_is_lost", "a_value_seen_can_be_replaced_once"],
        ),
        (PlainReadShowsTheMark, &["a_lease_or_hold_is_no_value"]),
        (FillStoresNothing, &["a_fill_under_the_lease_is_stored"]),
        (DeleteLeavesTheLease, &["a_fill_after_a_delete_is_lost", "a_fill_racing_a_delete_leaves_nothing"]),
        (
            ReleaseIgnoresTheToken,
            &["a_released_lease_is_free", "a_value_seen_can_be_removed", "a_hold_blocks_leases_and_older_fills"],
        ),
        (ReleaseDoesNothing, &["a_released_lease_is_free"]),
        (HoldDoesNothing, &["a_hold_blocks_leases_and_older_fills", "a_lease_or_hold_is_no_value"]),
        (NeverEnds, &["a_lease_ends", "leases_and_holds_of_no_time_end"]),
        (BatchOutOfOrder, &["lease_batches_answer_in_order"]),
        (OneTokenForAll, &["each_lease_has_a_token_of_its_own", "a_fill_after_a_delete_is_lost"]),
        (RenewalBeginsAnew, &["a_lease_that_is_gone_is_not_renewed", "a_renewal_ends"]),
        (RenewedTokensAreDead, &["a_renewed_lease_is_filled_and_released", "a_renewed_lease_stands_longer"]),
        (RepliesGetOutOfStep, &["a_dropped_lease_operation_leaves_the_store_usable"]),
    ];
    for (defect, laws) in expected {
        let caught = caught(*defect);
        assert!(laws.iter().all(|law| caught.contains(law)), "{defect:?}: {caught:?}");
    }
}

/// Whether the law of a restart holds for a store with this defect.
fn outlives_a_restart(defect: Defect) -> bool {
    let store = Broken::new(defect, ManualClock::new());
    let restart = || if defect == NumbersStartAgain { store.inner.forget() } else { store.inner.restart() };
    let law = || block_on(a_restart_ends_leases(&store, restart));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(law)).is_ok()
}

#[test]
fn a_restart_is_survived_only_by_a_store_that_knows_of_it() {
    assert!(outlives_a_restart(Sound));
    for defect in [NumbersStartAgain, FillIgnoresTheToken, LateFillIsTaken, ReleaseIgnoresTheToken, SeenIsSeenForEver] {
        assert!(!outlives_a_restart(defect), "{defect:?}");
    }
    let memory = MemoryL2::new().with_leases();
    block_on(a_restart_ends_leases(&memory, || memory.wipe()));
    let without_leases = MemoryL2::new();
    block_on(a_restart_ends_leases(&without_leases, || without_leases.wipe()));
    let forgetful = MemoryL2::new();
    let kept = || block_on(a_restart_ends_leases(&forgetful, || ()));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(kept)).is_err(), "nothing was restarted");
}
