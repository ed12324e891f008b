//! What happened to each key lately.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::event::{Event, What};
use crate::row::Id;
use crate::time::millis;

/// Events kept per key.
const KEPT: usize = 40;

pub(crate) struct History(Vec<VecDeque<(usize, Event)>>);

impl History {
    pub(crate) fn new(keys: usize) -> Self {
        Self(vec![VecDeque::new(); keys])
    }

    pub(crate) fn push(&mut self, process: usize, event: Event) {
        let Some(events) = self.0.get_mut(event.id as usize) else { return };
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back((process, event));
    }

    /// `what`, and under it the events of the key in the order of their ends.
    pub(crate) fn tell(&self, what: &str, id: Id) -> String {
        let mut events: Vec<_> = self.0.get(id as usize).into_iter().flatten().copied().collect();
        events.sort_by_key(|(_, event)| event.end);
        let zero = events.iter().map(|(_, event)| event.begin).min().unwrap_or(0);
        let mut text = format!("{what}\n  begin ms      end ms  process  event of key {id}");
        for (process, event) in &events {
            let (begin, end) = (millis(event.begin - zero), millis(event.end - zero));
            let _ = write!(text, "\n{begin:10.3}  {end:10.3}  {process:7}  ");
            let _ = match event.what {
                What::Read { verb, seen, joined } if joined < event.begin => {
                    let older = millis(event.begin - joined);
                    write!(text, "Read({verb:?}, {seen:?}), beside one that began {older:.3} ms before")
                }
                What::Read { verb, seen, .. } => write!(text, "Read({verb:?}, {seen:?})"),
                what => write!(text, "{what:?}"),
            };
        }
        text
    }
}
