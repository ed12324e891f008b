//! What a listener holds.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use accelerator_core::{BusEvent, GapCause};
use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::{Handle, Id};
use tokio::time::{Sleep, sleep};

use crate::bus::subscriber::{SLACK, Subscriber};

/// The stream of one listener. It is one from its first poll on.
pub(crate) struct Listening {
    subscriber: Arc<Subscriber>,
    subject: Bytes,
    id: Option<u64>,
    /// When it is looked whether the task of the bus still runs, by the timers of this runtime.
    look: Option<(Id, Pin<Box<Sleep>>)>,
    /// It was said that there is no runtime.
    said: bool,
}

impl Listening {
    pub(crate) fn new(subscriber: Arc<Subscriber>, subject: Bytes) -> Self {
        Self { subscriber, subject, id: None, look: None, said: false }
    }

    fn begin(&mut self) -> u64 {
        let id = self.subscriber.topics(|topics| topics.add(&self.subject));
        self.subscriber.changed.notify_one();
        self.id = Some(id);
        id
    }

    /// Looks after the task, now and then. Whoever polls outside of a runtime can't.
    fn look_after(&mut self, cx: &mut Context<'_>) {
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        // The timers of another runtime may have ended with it.
        self.look.take_if(|(of, _)| Some(*of) != here);
        let Some(here) = here else { return };
        if self.look.is_none() {
            self.look = timer(SLACK).map(|timer| (here, timer));
        }
        while let Some((_, look)) = &mut self.look
            && look.as_mut().poll(cx).is_ready()
        {
            let left = self.subscriber.leave_asleep();
            self.subscriber.start();
            self.look = timer(left).map(|timer| (here, timer));
        }
    }
}

/// A timer of this runtime. One that has none says so by a panic.
fn timer(after: Duration) -> Option<Pin<Box<Sleep>>> {
    catch_unwind(AssertUnwindSafe(|| Box::pin(sleep(after)))).ok()
}

impl Stream for Listening {
    type Item = BusEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BusEvent>> {
        let id = match self.id {
            Some(id) => id,
            None => self.begin(),
        };
        match self.subscriber.topics(|topics| topics.poll(id, cx.waker())) {
            Ok(event) => return Poll::Ready(Some(event)),
            Err(before) => drop(before),
        }
        if !self.subscriber.start() && !self.said {
            self.said = true;
            let target = &self.subscriber.dialer.target;
            self.subscriber.warning.say(target, "the bus hears nothing from NATS", "it takes a tokio runtime");
            return Poll::Ready(Some(BusEvent::Gap(GapCause::Disconnected)));
        }
        self.look_after(cx);
        Poll::Pending
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        drop(self.subscriber.topics(|topics| topics.remove(id)));
        self.subscriber.changed.notify_one();
    }
}
