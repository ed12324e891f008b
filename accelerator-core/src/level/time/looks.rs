//! Regular looks at something that may stand still.

use std::task::{Context, Poll};

use crate::level::flight::handoff::LOOK_EVERY;
use crate::level::time::tasks::Tasks;
use crate::level::time::ticker::Limit;

/// Regular looks of one who waits, from the first poll on. Where there is no runtime there are none.
#[derive(Default)]
pub(crate) struct RegularLooks(Option<Limit>);

impl RegularLooks {
    /// Whether it is time for a look; who polls is woken when it is time for the next.
    pub(crate) fn poll(&mut self, tasks: &Tasks, cx: &mut Context<'_>) -> bool {
        let mut is_time = false;
        loop {
            let next = self.0.get_or_insert_with(|| tasks.limit(LOOK_EVERY));
            match tasks.poll_limit(next, cx) {
                Poll::Ready(Ok(())) if !is_time => (self.0, is_time) = (None, true),
                _ => return is_time,
            }
        }
    }
}
