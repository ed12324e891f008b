//! What a node has to tell: keys of calls that wait for it, and keys that the bus did not take.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::StoreErrorKind;
use crate::level::bus::message::{Content, Room};
use crate::level::bus::pending::{Clear, News, Next, Pending};

/// Hellos after the last message, each so long after what was sent before: 1, 2, 4 and 8 s after the message.
const HELLOS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// And then in this time.
const HELLO_EVERY: Duration = Duration::from_secs(30);

/// Keys that go together, and the calls `W` that wait for that.
#[derive(Clone)]
pub(crate) struct Round<W> {
    pub(crate) pending: Pending,
    pub(crate) waits: Vec<W>,
}

impl<W> Round<W> {
    fn new(most: usize) -> Self {
        Self { pending: Pending::new(most), waits: Vec::new() }
    }

    fn take(&mut self) -> Self {
        Self { pending: self.pending.take(), waits: std::mem::take(&mut self.waits) }
    }
}

/// What the task that publishes does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Tell what calls wait for.
    Tell,
    /// Tell again what was not taken.
    TellAgain,
    Hello,
    Wait(Instant),
    Nothing,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Keys that calls wait for.
    Sending,
    /// Keys that were not taken before.
    Failed,
    Hello,
}

/// A message that goes behind a write of L2, in one round trip with it. Nothing else is told until that has ended.
#[derive(Clone)]
struct Attached {
    number: u64,
    keys: Vec<Arc<str>>,
    /// Later it counts as lost: its runtime isn't run.
    until: Instant,
}

/// A message that was handed to the bus, for its echo.
#[derive(Clone, Copy)]
struct Sent {
    number: u64,
    hello: bool,
    at: Instant,
}

#[derive(Clone)]
pub(crate) struct Outbox<W> {
    /// Of calls that came since the last message was begun.
    pub(crate) fresh: Round<W>,
    /// On its way.
    pub(crate) sending: Round<W>,
    /// On its way with a write.
    attached: Option<Attached>,
    /// Not taken by the bus.
    pub(crate) failed: Pending,
    /// When `failed` may be told again.
    pub(crate) again_at: Option<Instant>,
    hello: bool,
    /// The next one without a message before it.
    hello_at: Option<Instant>,
    hellos: usize,
    number: u64,
    sent: Option<Sent>,
}

impl<W> Outbox<W> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            fresh: Round::new(most),
            sending: Round::new(most),
            attached: None,
            failed: Pending::new(most),
            again_at: None,
            hello: false,
            hello_at: None,
            hellos: 0,
            number: 0,
            sent: None,
        }
    }

    pub(crate) fn put(&mut self, news: News, room: Room, waits: Option<W>) {
        self.fresh.pending.add(news, room);
        self.fresh.waits.extend(waits);
    }

    /// The message of these keys, to go behind a write that ends by `until`, and its number. The keys: something else is to
    /// be told first, or they are more than one message takes.
    pub(crate) fn attach(
        &mut self,
        keys: Vec<Arc<str>>,
        room: Room,
        now: Instant,
        until: Instant,
        seal: impl FnOnce(u64, Content<'_>) -> Bytes,
    ) -> Result<(u64, Bytes), Vec<Arc<str>>> {
        let is_idle = self.len() == 0 && self.attached.is_none();
        if !is_idle || keys.is_empty() || !keys.iter().all(|key| room.takes(key)) || room.first(&keys) < keys.len() {
            return Err(keys);
        }
        let number = self.number(false, now);
        let bytes = seal(number, Content::Keys(keys.iter().map(|key| &**key).collect()));
        self.attached = Some(Attached { number, keys, until });
        Ok((number, bytes))
    }

    /// What was attached has ended. `again_at`: the bus did not take it, and is told again from then on. How many keys;
    /// `None`: others have told them meanwhile.
    pub(crate) fn attached_ended(&mut self, number: u64, again_at: Option<Instant>, room: Room) -> Option<usize> {
        let attached = self.attached.take_if(|attached| attached.number == number)?;
        let count = attached.keys.len();
        if again_at.is_some() {
            self.failed.add(News::Keys(attached.keys), room);
            self.again_at = again_at;
        }
        Some(count)
    }

    /// What to do next. For `Tell` all that is fresh is on its way from now on. `idle`: who waits for nothing is told so.
    pub(crate) fn next(&mut self, now: Instant, room: Room, idle: impl FnMut(W)) -> Job {
        if let Some(lost) = self.attached.take_if(|attached| attached.until <= now) {
            self.fresh.pending.add(News::Keys(lost.keys), room);
        }
        if self.fresh.pending.is_empty() {
            // Nothing but an empty call can wait here.
            self.fresh.waits.drain(..).for_each(idle);
        }
        if let Some(attached) = &self.attached {
            return if self.has_work() { Job::Wait(attached.until) } else { Job::Nothing };
        }
        if !self.fresh.pending.is_empty() {
            self.sending = self.fresh.take();
            return Job::Tell;
        }
        if !self.failed.is_empty() && self.again_at.is_none_or(|at| at <= now) {
            return Job::TellAgain;
        }
        if std::mem::take(&mut self.hello) {
            return Job::Hello;
        }
        match self.again_at {
            Some(at) if !self.failed.is_empty() => Job::Wait(at),
            _ => Job::Nothing,
        }
    }

    /// Whether there is anything to do, now or later.
    pub(crate) fn has_work(&self) -> bool {
        self.hello || !self.fresh.pending.is_empty() || !self.failed.is_empty()
    }

    /// The next message, of which the number is used up, and how many invalidations it tells. `None`: there is none.
    pub(crate) fn next_message(
        &mut self,
        what: What,
        room: Room,
        now: Instant,
        seal: impl FnOnce(u64, Content<'_>) -> Bytes,
    ) -> Option<(Bytes, usize)> {
        let pending = match what {
            What::Sending => &self.sending.pending,
            What::Failed => &self.failed,
            // It would name a message that nobody has heard yet.
            What::Hello if self.attached.is_some() => {
                self.hello = true;
                return None;
            }
            What::Hello => return Some((seal(self.number(true, now), Content::Hello), 0)),
        };
        if pending.is_empty() {
            return None;
        }
        let number = self.number(false, now);
        let pending = if what == What::Sending { &self.sending.pending } else { &self.failed };
        Some(match pending.next(room)? {
            Next::Clear(clear) => (seal(number, Content::Clear { also_l2: clear == Clear::AlsoL2 }), 1),
            Next::Keys(keys) => (seal(number, Content::Keys(keys.iter().map(|key| &**key).collect())), keys.len()),
        })
    }

    /// The bus has taken all of the round. Who waits for it.
    pub(crate) fn all_taken(&mut self) -> Vec<W> {
        self.again_at = None;
        self.sending.take().waits
    }

    /// The bus did not take the rest of the round: it is told again from then on. Who waits for it.
    pub(crate) fn not_taken(&mut self, why: StoreErrorKind, again_at: Instant, room: Room) -> Vec<W> {
        let Round { pending, waits } = self.sending.take();
        match why {
            // The bus takes less than it said; a clear is small.
            StoreErrorKind::TooLarge => self.failed.clear(Clear::L1),
            _ => self.failed.add_all(pending, room),
        }
        self.again_at = Some(again_at);
        waits
    }

    /// What a task that is gone had in its hands is to be told once more.
    pub(crate) fn take_back(&mut self, room: Room) {
        let mut lost = self.sending.take();
        self.fresh.pending.put_before(&mut lost.pending, room);
        self.fresh.waits.append(&mut lost.waits);
    }

    /// The number of the next message, which is sent now.
    pub(crate) fn number(&mut self, hello: bool, now: Instant) -> u64 {
        if hello {
            self.hellos += 1;
        } else {
            self.number += 1;
            self.hellos = 0;
        }
        self.hello_at = now.checked_add(HELLOS.get(self.hellos).copied().unwrap_or(HELLO_EVERY));
        self.sent = Some(Sent { number: self.number, hello, at: now });
        self.number
    }

    /// How long ago the message was sent that has come back, if it is the last one.
    pub(crate) fn echo(&mut self, number: u64, hello: bool, now: Instant) -> Option<Duration> {
        let sent = self.sent.take_if(|sent| sent.number == number && sent.hello == hello)?;
        Some(now.duration_since(sent.at))
    }

    /// The bus listens: a hello now, and then now and then.
    pub(crate) fn greet(&mut self) {
        (self.hello, self.hellos) = (true, HELLOS.len());
    }

    /// When the next hello is due; `None`: the bus has never listened.
    pub(crate) fn hello_at(&self) -> Option<Instant> {
        self.hello_at
    }

    /// Whether a hello is to be sent now.
    pub(crate) fn is_hello_due(&mut self, now: Instant) -> bool {
        self.hello |= self.hello_at.is_some_and(|at| at <= now);
        self.hello
    }

    /// Keys that the bus has yet to take.
    pub(crate) fn len(&self) -> usize {
        let attached = self.attached.as_ref().map_or(0, |attached| attached.keys.len());
        self.fresh.pending.len() + self.sending.pending.len() + self.failed.len() + attached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn hellos_follow_the_last_message() {
        let (mut outbox, start, room) = (Outbox::<()>::new(1 << 20), Instant::now(), Room::new(1024, "a"));
        assert!(!outbox.is_hello_due(start + secs(1000)), "it never listened");
        outbox.greet();
        assert_eq!(outbox.next(start, room, drop), Job::Hello);
        assert_eq!(outbox.number(true, start), 0);
        assert_eq!(outbox.hello_at(), Some(start + secs(30)));
        let mut now = start + secs(10);
        assert_eq!(outbox.number(false, now), 1);
        let mut after = Vec::new();
        for _ in 0..6 {
            let at = outbox.hello_at().expect("a hello");
            assert!(!outbox.is_hello_due(at - Duration::from_millis(1)) && outbox.is_hello_due(at));
            assert_eq!(outbox.next(at, room, drop), Job::Hello);
            assert_eq!(outbox.number(true, at), 1);
            now = at;
            after.push((now - start).as_secs() - 10);
        }
        assert_eq!(after, [1, 2, 4, 8, 38, 68]);
    }

    #[test]
    fn what_goes_behind_a_write_keeps_all_else_back_until_it_has_ended() {
        let (mut outbox, start, room) = (Outbox::<()>::new(1 << 20), Instant::now(), Room::new(1024, "a"));
        let seal = |number: u64, _: Content<'_>| Bytes::copy_from_slice(&number.to_le_bytes());
        let keys = |key: &str| vec![Arc::from(key)];
        outbox.greet();
        assert_eq!(outbox.next(start, room, drop), Job::Hello);
        // Between this decision and its number.
        let attached = outbox.attach(keys("1"), room, start, start + secs(1), seal).expect("nothing is on its way");
        assert_eq!((attached.0, outbox.len()), (1, 1));
        assert_eq!(
            outbox.next_message(What::Hello, room, start, seal),
            None,
            "it would name what nobody has heard yet"
        );
        outbox.put(News::Keys(keys("2")), room, None);
        assert!(outbox.attach(keys("3"), room, start, start + secs(1), seal).is_err());
        assert_eq!(outbox.next(start, room, drop), Job::Wait(start + secs(1)));
        assert_eq!(outbox.attached_ended(1, None, room), Some(1));
        assert_eq!((outbox.next(start, room, drop), outbox.sending.take().pending.len()), (Job::Tell, 1));
        assert_eq!(outbox.next(start, room, drop), Job::Hello, "the one that was kept back");
        // One of a runtime that isn't run.
        outbox.attach(keys("4"), room, start, start + secs(1), seal).expect("nothing is on its way");
        assert_eq!(outbox.next(start, room, drop), Job::Nothing);
        assert_eq!((outbox.next(start + secs(1), room, drop), outbox.sending.take().pending.len()), (Job::Tell, 1));
        assert_eq!(outbox.attached_ended(2, None, room), None, "others have told it");
    }

    #[test]
    fn fresh_keys_come_first_and_what_failed_waits_for_its_time() {
        let (mut outbox, start, room) = (Outbox::<()>::new(1 << 20), Instant::now(), Room::new(1024, "a"));
        let news = |key: &str| News::Keys(vec![key.into()]);
        outbox.failed.add(news("1"), room);
        outbox.again_at = Some(start + secs(1));
        outbox.greet();
        outbox.put(news("2"), room, None);
        assert_eq!((outbox.next(start, room, drop), outbox.len()), (Job::Tell, 2));
        outbox.put(news("3"), room, None);
        outbox.take_back(room);
        assert_eq!((outbox.fresh.pending.len(), outbox.len()), (2, 3));
        assert_eq!((outbox.next(start, room, drop), outbox.sending.take().pending.len()), (Job::Tell, 2));
        assert_eq!(outbox.next(start, room, drop), Job::Hello);
        assert_eq!(outbox.next(start, room, drop), Job::Wait(start + secs(1)));
        assert_eq!(outbox.next(start + secs(1), room, drop), Job::TellAgain);
        outbox.failed.take();
        assert_eq!(outbox.next(start, room, drop), Job::Nothing);
    }
}
