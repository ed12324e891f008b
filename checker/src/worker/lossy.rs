//! A bus that loses messages and says nothing.
//!
//! A cache notices by the numbers of the messages. So that the checker is known to see what a cache misses that does not
//! notice, its bus can also be blind: gaps are kept from it, and messages get numbers without a hole.

use std::collections::HashMap;
use std::sync::Arc;

use accelerator::{BoxStream, BusEvent, BusLimits, Bytes, InvalidationBus, StoreResult, async_trait};
use futures_util::StreamExt;
use xxhash_rust::xxh3::xxh3_64;

/// Where a message has its type, its origin and its number; it ends in a checksum. See `level/bus/message.rs` of the core.
const TYPE: usize = 3;
const HELLO: u8 = 3;
const ORIGIN: usize = 5;
const NUMBER: usize = 13;
const HEAD: usize = 29;
const CHECKSUM: usize = 8;

pub(super) struct Lossy {
    pub(super) bus: Arc<dyn InvalidationBus>,
    /// One message in so many; zero: none is lost.
    pub(super) loss: u32,
    pub(super) blind: bool,
}

#[async_trait]
impl InvalidationBus for Lossy {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        self.bus.publish(topic, message).await
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        let (loss, blind) = (self.loss, self.blind);
        let (mut numbers, mut listens) = (Numbers::default(), false);
        let events = self.bus.listen(topic).filter_map(move |event| {
            let passed = match event {
                BusEvent::Message(_) if loss > 0 && fastrand::u32(..loss) == 0 => None,
                BusEvent::Message(bytes) if blind => Some(BusEvent::Message(numbers.without_a_hole(bytes))),
                BusEvent::Listening if blind => {
                    let first = !std::mem::replace(&mut listens, true);
                    first.then_some(BusEvent::Listening)
                }
                BusEvent::Gap(_) if blind && listens => None,
                event => Some(event),
            };
            std::future::ready(passed)
        });
        Box::pin(events)
    }

    fn limits(&self) -> BusLimits {
        self.bus.limits()
    }

    fn publishes_over(&self) -> Option<usize> {
        self.bus.publishes_over()
    }
}

/// The last number of each origin.
#[derive(Default)]
struct Numbers(HashMap<[u8; 8], u64>);

impl Numbers {
    fn without_a_hole(&mut self, message: Bytes) -> Bytes {
        let mut bytes = message.to_vec();
        let Some(said) = bytes.len().checked_sub(CHECKSUM).filter(|said| *said >= HEAD) else { return message };
        let Ok(origin) = bytes[ORIGIN..NUMBER].try_into() else { return message };
        let number = self.0.entry(origin).or_default();
        *number += u64::from(bytes[TYPE] != HELLO);
        bytes[NUMBER..NUMBER + 8].copy_from_slice(&number.to_le_bytes());
        let checksum = xxh3_64(&bytes[..said]);
        bytes[said..].copy_from_slice(&checksum.to_le_bytes());
        bytes.into()
    }
}
