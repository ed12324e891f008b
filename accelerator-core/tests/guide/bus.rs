//! The bus of `docs/guide/write-a-bus.md`. The guide shows what stands between the markers here, word for word.

// guide: begin
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, GapCause, InvalidationBus, StoreError, StoreErrorKind, StoreResult,
    async_trait,
};
use futures_util::{StreamExt, stream};

/// One file, to which all processes of a machine append, and which they read. Each message has its topic before it.
#[derive(Clone)]
pub struct FileBus(pub PathBuf);

const LARGEST: usize = 16 << 10;
/// A listener that is so many bytes behind loses them.
const BEHIND: u64 = 32 << 10;

impl FileBus {
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).read(true).open(&self.0)
    }

    fn append(&self, frame: &[u8]) -> io::Result<()> {
        loop {
            let mut file = self.open()?;
            // Half a message would be taken for the beginning of the next one.
            file.write_all(frame).inspect_err(|_| drop(fs::remove_file(&self.0)))?;
            // In a file that was removed meanwhile, nobody reads it.
            if file.metadata()?.nlink() > 0 {
                return Ok(());
            }
        }
    }
}

/// Where a listener is in the file.
struct Place(File, u64);

impl Place {
    /// The next message of the topic, if there is one by now.
    fn next(&mut self, topic: &str) -> Result<Option<Bytes>, GapCause> {
        let about = self.0.metadata().map_err(|_| GapCause::Disconnected)?;
        match about.len().checked_sub(self.1).filter(|_| about.nlink() > 0) {
            None => return Err(GapCause::Disconnected),
            Some(behind) if behind > BEHIND => return Err(GapCause::Overflow),
            Some(_) => {}
        }
        while let Some(head) = self.read(8, 0)? {
            let length = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
            let (name, message) = (length(head.first_chunk()), length(head.last_chunk()));
            let Some(frame) = self.read(name + message, 8)? else { break };
            self.1 += 8 + frame.len() as u64;
            if frame[..name] == *topic.as_bytes() {
                return Ok(Some(Bytes::from(frame).slice(name..)));
            }
        }
        Ok(None)
    }

    fn read(&self, length: usize, further: u64) -> Result<Option<Vec<u8>>, GapCause> {
        let mut bytes = vec![0; length];
        match self.0.read_exact_at(&mut bytes, self.1 + further) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| Some(bytes)).map_err(|_| GapCause::Disconnected),
        }
    }
}

#[async_trait]
impl InvalidationBus for FileBus {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        if message.len() > LARGEST {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "the message has more than 16 KiB"));
        }
        let lengths = [topic.len() as u32, message.len() as u32].map(u32::to_le_bytes).concat();
        let done = self.append(&[&lengths, topic.as_bytes(), &message].concat());
        done.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, "no file").with_source(error))
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        let start = (self.clone(), topic.to_owned(), None::<Place>, false);
        let events = stream::unfold(start, |(bus, topic, mut place, told)| async move {
            let (event, place) = loop {
                match place.as_mut().map(|place| place.next(&topic)) {
                    Some(Ok(Some(message))) => break (BusEvent::Message(message), place),
                    Some(Err(cause)) => break (BusEvent::Gap(cause), None),
                    Some(Ok(None)) => {}
                    None => match bus.open().and_then(|file| Ok((file.metadata()?.len(), file))) {
                        Ok((end, file)) => break (BusEvent::Listening, Some(Place(file, end))),
                        Err(_) if !told => break (BusEvent::Gap(GapCause::Disconnected), None),
                        Err(_) => {}
                    },
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            let told = place.is_none();
            Some((event, (bus, topic, place, told)))
        });
        events.boxed()
    }

    fn limits(&self) -> BusLimits {
        BusLimits::default().max_message_bytes(LARGEST)
    }
}
// guide: end

/// A file for each law.
fn file() -> PathBuf {
    super::directory().join(format!("bus-{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)))
}

// guide: begin
accelerator_core::bus_laws!(file_bus, FileBus(file()), interrupt = |bus| fs::remove_file(&bus.0).unwrap());
// guide: end

#[tokio::test]
async fn a_bus_without_its_directory_says_so_and_goes_on_trying() {
    let directory = super::directory().join("later");
    let bus = FileBus(directory.join("bus"));
    let mut heard = bus.listen("t");
    assert_eq!(heard.next().await, Some(BusEvent::Gap(GapCause::Disconnected)));
    assert_eq!(bus.publish("t", Bytes::new()).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    fs::create_dir(&directory).unwrap();
    assert_eq!(heard.next().await, Some(BusEvent::Listening));
}

#[test]
fn the_guide_shows_this_code() {
    super::compare("write-a-bus.md", include_str!("bus.rs"));
}
