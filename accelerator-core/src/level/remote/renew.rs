//! Renewal: a lease is short, and its living holder renews it.
//!
//! 1. a load that suspends, and every ticket, takes a seat in the ticker for its leases
//! 2. the load goes on when a third of a lease is over: a task renews them, in one call, and again after each third
//! 3. what is filled or given back is renewed no more; the last of them ends the task
//!
//! A quick load costs a seat and no task. A store may answer a renewal with another token, so a fill waits for a renewal
//! that is under way.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::time::ticker::Limit;
use crate::level::time::timer::from_now;
use crate::sync::lock;
use crate::traits::l2::LeaseToken;

/// Leases that one load holds, and that are renewed together.
pub(crate) struct RenewedLeases<K: Key, V: Value> {
    remote: Arc<Remote<K, V>>,
    leases: Mutex<Leases>,
    /// A renewal is over.
    renewed: Notify,
}

struct Leases {
    each: Vec<Lease>,
    /// How many have an owner.
    left: usize,
    seat: Option<Limit>,
    /// The task was started.
    begun: bool,
    /// A renewal is under way.
    renewing: bool,
    /// The holder's own limit: nothing is renewed later.
    until: Instant,
}

struct Lease {
    wire: String,
    token: LeaseToken,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    /// L2 said so: it is worth nothing.
    Gone,
    /// Its value is being stored.
    Filling,
    /// Its owner is gone.
    Left,
    /// Its owner is gone, and left it to the renewal that is under way to give it back.
    GiveBack,
}

/// One of the leases of a load, in the hands of its owner.
pub(crate) struct RenewedLease<K: Key, V: Value> {
    lives: Arc<RenewedLeases<K, V>>,
    at: usize,
}

/// What may have a lease that is to be renewed.
pub(crate) trait Renewable<K: Key, V: Value> {
    /// Its key as it was sent, and its lease; `None`: it has none, or one that is renewed already.
    fn lease(&self) -> Option<(&str, LeaseToken)>;

    /// Its lease is renewed from now on.
    fn renewed_by(&mut self, life: RenewedLease<K, V>);
}

/// Leases of a load that has not suspended yet.
pub(crate) struct Unseated<K: Key, V: Value>(Option<Arc<RenewedLeases<K, V>>>);

impl<K: Key, V: Value> Unseated<K, V> {
    // 1
    /// The leases among these permits. `longest`: the holder's own limit.
    pub(crate) fn new<'p>(
        remote: &Arc<Remote<K, V>>,
        permits: impl Iterator<Item = &'p mut (impl Renewable<K, V> + 'p)>,
        longest: Duration,
    ) -> Self {
        if remote.local.policy.renew_after.is_none() {
            return Self(None);
        }
        let mut permits = permits.filter(|permit| permit.lease().is_some()).peekable();
        if permits.peek().is_none() {
            return Self(None);
        }
        let each = Vec::with_capacity(permits.size_hint().0.max(1));
        let leases = Leases { each, left: 0, seat: None, begun: false, renewing: false, until: from_now(longest) };
        let lives =
            Arc::new(RenewedLeases { remote: remote.clone(), leases: Mutex::new(leases), renewed: Notify::new() });
        let mut leases = lock(&lives.leases);
        for permit in permits {
            let Some((wire, token)) = permit.lease() else { continue };
            let (wire, at) = (wire.to_owned(), leases.each.len());
            permit.renewed_by(RenewedLease { lives: lives.clone(), at });
            leases.each.push(Lease { wire, token, state: State::Held });
        }
        leases.left = leases.each.len();
        drop(leases);
        Self(Some(lives))
    }

    /// The load goes on: its leases are renewed from now on.
    pub(crate) fn sit(&mut self) {
        if let Some(lives) = self.0.take()
            && let Some(after) = lives.remote.local.policy.renew_after
        {
            lives.sit(after);
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// Renews the leases among these permits from now on. `longest`: the holder's own limit.
    pub(crate) fn keep_alive<'p>(
        self: &Arc<Self>,
        permits: impl Iterator<Item = &'p mut (impl Renewable<K, V> + 'p)>,
        longest: Duration,
    ) {
        Unseated::new(self, permits, longest).sit();
    }
}

impl<K: Key, V: Value> RenewedLeases<K, V> {
    fn sit(self: &Arc<Self>, after: Duration) {
        let mut seat = Limit::new(self.remote.local.tasks.ticker.clone(), after);
        let waker = Waker::from(self.clone());
        if self.remote.local.tasks.poll_limit(&mut seat, &mut Context::from_waker(&waker)).is_pending() {
            let kept = {
                let mut leases = lock(&self.leases);
                if leases.left > 0 && !leases.begun { leases.seat.replace(seat) } else { Some(seat) }
            };
            drop(kept);
        }
    }

    /// The owner of a lease is gone; the token to give back, if nobody else does it.
    fn leave(&self, at: usize, gives_back: bool) -> Option<LeaseToken> {
        let (token, seat) = {
            let mut leases = lock(&self.leases);
            leases.left = leases.left.saturating_sub(1);
            let seat = if leases.left == 0 { leases.seat.take() } else { None };
            let renewing = leases.renewing;
            let lease = leases.each.get_mut(at)?;
            let held = std::mem::replace(&mut lease.state, State::Left);
            let token = match held {
                // Its token may change, whatever has become of the fill.
                State::Held | State::Filling if renewing => {
                    lease.state = State::GiveBack;
                    None
                }
                State::Held | State::Filling if gives_back => Some(lease.token),
                _ => None,
            };
            (token, seat)
        };
        drop(seat);
        token
    }

    /// What is to be renewed; a renewal is under way until it is dropped.
    fn begin(self: &Arc<Self>) -> Option<Renewal<K, V>> {
        let mut leases = lock(&self.leases);
        if Instant::now() >= leases.until {
            return None;
        }
        let held = leases.each.iter().enumerate().filter(|(_, lease)| lease.state == State::Held);
        let items: Vec<_> = held.map(|(at, lease)| (at, lease.wire.clone(), lease.token)).collect();
        leases.renewing = !items.is_empty();
        leases.renewing.then(|| Renewal { lives: self.clone(), items })
    }
}

/// A third of a lease is over.
impl<K: Key, V: Value> Wake for RenewedLeases<K, V> {
    fn wake(self: Arc<Self>) {
        let seat = {
            let mut leases = lock(&self.leases);
            if leases.begun || leases.left == 0 {
                return;
            }
            leases.begun = true;
            leases.seat.take()
        };
        drop(seat);
        let (remote, lives) = (self.remote.clone(), Arc::downgrade(&self));
        remote.local.tasks.spawn(renew(lives));
    }
}

// 2
async fn renew<K: Key, V: Value>(lives: Weak<RenewedLeases<K, V>>) {
    while let Some(renewal) = lives.upgrade().and_then(|lives| lives.begin()) {
        let remote = renewal.lives.remote.clone();
        renewal.run(&remote).await;
        let timer = remote.local.policy.renew_after.and_then(|after| remote.local.tasks.timer(after));
        drop(remote);
        let Some(timer) = timer else { return };
        timer.await;
    }
}

/// A renewal that is under way. Whoever waits for its end hears of it, also where it is dropped.
struct Renewal<K: Key, V: Value> {
    lives: Arc<RenewedLeases<K, V>>,
    items: Vec<(usize, String, LeaseToken)>,
}

impl<K: Key, V: Value> Renewal<K, V> {
    async fn run(self, remote: &Arc<Remote<K, V>>) {
        let items: Vec<_> = self.items.iter().map(|(_, wire, token)| (wire.as_str(), *token)).collect();
        let renewed = remote.renew_all(items).await;
        let mut leases = lock(&self.lives.leases);
        for ((at, ..), renewed) in self.items.iter().zip(renewed) {
            let Some(lease) = leases.each.get_mut(*at) else { continue };
            match renewed {
                Ok(Some(token)) => lease.token = token,
                Ok(None) => {
                    lease.state = match lease.state {
                        State::Held => State::Gone,
                        State::GiveBack => State::Left,
                        other => other,
                    };
                }
                // Tried again after the next third.
                Err(_) => {}
            }
        }
    }
}

impl<K: Key, V: Value> Drop for Renewal<K, V> {
    fn drop(&mut self) {
        let mut given_back = Vec::new();
        {
            let mut leases = lock(&self.lives.leases);
            leases.renewing = false;
            for (at, ..) in &self.items {
                if let Some(lease) = leases.each.get_mut(*at)
                    && lease.state == State::GiveBack
                {
                    lease.state = State::Left;
                    given_back.push((std::mem::take(&mut lease.wire), lease.token));
                }
            }
        }
        self.lives.renewed.notify_waiters();
        for (wire, token) in given_back {
            self.lives.remote.give_back(wire, token);
        }
    }
}

impl<K: Key, V: Value> RenewedLease<K, V> {
    /// Its value is stored now: it is renewed no more. The token to store it with.
    pub(crate) async fn settle(&self) -> Option<LeaseToken> {
        loop {
            let mut renewed = std::pin::pin!(self.lives.renewed.notified());
            // From here on no end of a renewal is missed.
            renewed.as_mut().enable();
            {
                let mut leases = lock(&self.lives.leases);
                let renewing = leases.renewing;
                let lease = leases.each.get_mut(self.at)?;
                if lease.state == State::Held {
                    lease.state = State::Filling;
                }
                if !renewing {
                    return Some(lease.token);
                }
            }
            renewed.await;
        }
    }

    /// 3: the token to give back, if nobody else does it.
    pub(crate) fn leave(self, gives_back: bool) -> Option<LeaseToken> {
        self.lives.leave(self.at, gives_back)
    }
}
