//! Tickets of keys that other processes load.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::cache::future::CacheFuture;
use crate::cache::tickets::ticket::{Begin, BusyOps, LoadTicket};

impl<V> LoadTicket<V> {
    /// Whether another process loads this key. What is loaded here nevertheless is for this node alone: L2 does not get it.
    /// Better is to [`wait`](Self::wait).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy().is_some()
    }

    fn busy(&self) -> Option<(Arc<dyn BusyOps<V>>, usize)> {
        self.0.as_ref()?.busy()
    }

    /// Waits for the keys of one [`begin_many`](crate::Tickets::begin_many) that other processes load, with one look into
    /// L2 for all of them now and then. Answers as soon as something is known of one key at least, and takes that one out
    /// of `busy`: it is cached by now, or it is the caller's turn. (Who had it is gone; or did not end within
    /// `lease_wait`, and then L2 does not get what is loaded here.) What is left in `busy` is to be waited for again.
    ///
    /// Call it when the other tickets of the batch are filled, never before: others may wait for those.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the tickets that had no answer are in `busy`.
    pub async fn wait<T>(busy: &mut Vec<(T, Self)>) -> Vec<(T, Begin<V>)> {
        match Self::waiting(busy) {
            Some(waiting) => waiting.await.settle(busy),
            // Nobody else loads these.
            None => busy.drain(..).map(|(of, ticket)| (of, Begin::Lead(ticket))).collect(),
        }
    }

    /// The wait by itself.
    pub(crate) fn waiting<T>(busy: &[(T, Self)]) -> Option<Waiting<V>> {
        let mut all = busy.iter().filter_map(|(_, ticket)| ticket.busy());
        let (batch, first) = all.next()?;
        let own = all.filter(|(other, _)| Arc::ptr_eq(other, &batch)).map(|(_, place)| place);
        let places = std::iter::once(first).chain(own).collect();
        Some(Waiting { answers: batch.clone().wait(places), batch })
    }
}

pub(crate) struct Waiting<V> {
    batch: Arc<dyn BusyOps<V>>,
    answers: CacheFuture<'static, Vec<(usize, Begin<V>)>>,
}

impl<V> Future for Waiting<V> {
    type Output = Known<V>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Known<V>> {
        let answers = ready!(Pin::new(&mut self.answers).poll(cx));
        Poll::Ready(Known { batch: self.batch.clone(), answers })
    }
}

/// What became of keys that were waited for.
pub(crate) struct Known<V> {
    batch: Arc<dyn BusyOps<V>>,
    answers: Vec<(usize, Begin<V>)>,
}

impl<V> Known<V> {
    /// Takes out of `busy` what has an answer.
    pub(crate) fn settle<T>(self, busy: &mut Vec<(T, LoadTicket<V>)>) -> Vec<(T, Begin<V>)> {
        let Self { batch, answers } = self;
        let (mut answers, mut ready): (HashMap<_, _>, Vec<_>) = (answers.into_iter().collect(), Vec::new());
        for (of, ticket) in std::mem::take(busy) {
            let place = ticket.busy().filter(|(other, _)| Arc::ptr_eq(other, &batch)).map(|(_, place)| place);
            match place.and_then(|place| answers.remove(&place)) {
                Some(begin) => ready.push((of, begin)),
                None => busy.push((of, ticket)),
            }
        }
        ready
    }
}
