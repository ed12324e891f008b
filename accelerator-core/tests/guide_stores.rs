//! The stores of `docs/guide/write-a-store.md`. The guide shows what stands between the markers here, word for word. So
//! does that of a bus, with `guide/bus.rs`.

#![allow(unreachable_pub, reason = "the guide shows stores as a library would export them")]

#[path = "guide/bus.rs"]
mod bus;

// guide: begin
use std::collections::HashMap;

use accelerator_core::{Entry, Key, L1Stats, L1Store, Value};
use parking_lot::Mutex;

/// A map of at most so many entries. When it is full, any one goes.
pub struct MapL1<K, V>(pub usize, pub Mutex<HashMap<K, Entry<V>>>);

impl<K: Key, V: Value> L1Store<K, V> for MapL1<K, V> {
    fn get(&self, key: &K) -> Option<Entry<V>> {
        self.1.lock().get(key).cloned()
    }
    fn insert(&self, key: K, entry: Entry<V>) {
        let mut map = self.1.lock();
        let any = map.keys().next().filter(|_| map.len() >= self.0).cloned();
        any.and_then(|any| map.remove(&any));
        map.insert(key, entry);
    }
    fn remove(&self, key: &K) {
        self.1.lock().remove(key);
    }
    fn clear(&self) {
        self.1.lock().clear();
    }
    fn stats(&self) -> L1Stats {
        L1Stats::new(self.1.lock().len() as u64, None)
    }
}
// guide: end

// guide: begin
accelerator_core::l1_laws!(map_l1, MapL1(1000, Mutex::default()));
// guide: end

// guide: begin
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use accelerator_core::{Bytes, L2Store, Limits, StoreError, StoreErrorKind, StoreResult, async_trait};

/// One file per key, in a directory that is there and that nobody else writes to. The first eight bytes of a file are
/// its deadline (Unix milliseconds), the rest is the value.
pub struct FileL2(pub PathBuf);

impl FileL2 {
    fn path(&self, key: &str) -> PathBuf {
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("v-{hex}"))
    }
}

fn unix_ms_in(ttl: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_add(ttl).as_millis()).unwrap_or(u64::MAX)
}

fn failed(error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::InvalidFilename => StoreErrorKind::TooLarge, // a key beyond the limits
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, "a file can't be used").with_source(error)
}

fn if_there<T>(done: io::Result<T>) -> StoreResult<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some).map_err(failed),
    }
}

#[async_trait]
impl L2Store for FileL2 {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let Some(file) = if_there(fs::read(self.path(key)))? else { return Ok(None) };
        let deadline = file.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Ok((unix_ms_in(Duration::ZERO) < deadline).then(|| Bytes::from(file).slice(8..)))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        let temp = self.0.join(format!("t-{:016x}", RandomState::new().hash_one(key)));
        let file = [&unix_ms_in(ttl).to_le_bytes(), &*value].concat();
        let done = fs::write(&temp, file).and_then(|()| fs::rename(&temp, self.path(key)));
        done.inspect_err(|_| drop(fs::remove_file(&temp))).map_err(failed)
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        if_there(fs::remove_file(self.path(key))).map(drop)
    }

    fn limits(&self) -> Limits {
        // A file name has 255 bytes: the mark, and two for each byte of the key.
        Limits::default().max_key_bytes(126)
    }
}
// guide: end

// guide: begin
accelerator_core::l2_laws!(file_l2, FileL2(directory()));
// guide: end

/// A directory for each thread, and so for each law, removed when the thread ends.
fn directory() -> PathBuf {
    struct Directory(PathBuf);
    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
    thread_local! {
        static DIRECTORY: Directory = {
            let name = format!("file-l2-{:016x}", RandomState::new().hash_one(0));
            Directory(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
        };
    }
    let own = DIRECTORY.with(|own| own.0.clone());
    fs::create_dir_all(&own).expect("a directory");
    own
}

#[tokio::test]
async fn both_stores_serve_a_cache_that_is_built_again() {
    use accelerator_core::{CacheResult, LevelCache, Lookup};

    async fn run(dir: PathBuf) -> CacheResult<(Lookup<String>, Option<String>)> {
        // guide: begin
        let users = LevelCache::<u64, String>::builder()
            .area("user")
            .l1(std::sync::Arc::new(MapL1(10_000, Mutex::default())))
            .l2(FileL2(dir))
            .ttl(Duration::from_secs(60))
            .loader(|id| async move { Ok::<_, io::Error>(Some(format!("user {id}"))) })
            .build()?;
        // guide: end
        Ok((users.lookup(&7).await, users.get(&7).await?))
    }

    let value = "user 7".to_owned();
    let first = run(directory()).await.unwrap();
    assert_eq!(first, (Lookup::Miss, Some(value.clone())));
    // A new process has an empty L1 and the files of the old one.
    let second = run(directory()).await.unwrap();
    assert_eq!(second, (Lookup::Hit(value.clone()), Some(value)));
}

#[test]
fn a_full_map_keeps_its_bound() {
    let store = MapL1(2, Mutex::default());
    (0..10).for_each(|key| store.insert(key, Entry::new(Some(key), 0, 10, 10, 0)));
    assert_eq!(store.stats().entries, 2);
    assert!(store.get(&9).is_some(), "the newest is there");
}

#[tokio::test]
async fn file_names_that_mean_something_else_are_keys() {
    let store = FileL2(directory());
    for key in ["", ".", "..", "~", "-", "CON", "con"] {
        store.set(key, key.to_owned().into(), Duration::from_secs(60)).await.unwrap();
    }
    for key in ["", ".", "..", "~", "-", "CON", "con"] {
        assert_eq!(store.get(key).await.unwrap().as_deref(), Some(key.as_bytes()), "key {key:?}");
    }
}

#[tokio::test]
async fn a_file_without_a_deadline_is_missing() {
    let store = FileL2(directory());
    for bytes in [&b""[..], b"short"] {
        fs::write(store.path("damaged"), bytes).unwrap();
        assert_eq!(store.get("damaged").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_write_leaves_no_other_file_behind() {
    let store = FileL2(directory());
    let week = Duration::from_secs(7 * 24 * 3600);
    for round in 0..10 {
        store.set("key", format!("{round}").into(), week).await.unwrap();
    }
    assert_eq!(fs::read_dir(&store.0).unwrap().count(), 1);
    fs::remove_dir_all(&store.0).unwrap();
    let error = store.set("key", Bytes::new(), week).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.to_string().contains("file-l2"), "an error names no path, and so no key: {error}");
}

/// What stands between the markers, each part without its indentation.
fn shown_in(file: &str) -> Vec<String> {
    let mut parts: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for line in file.lines() {
        match line.trim() {
            "// guide: begin" => {
                inside = true;
                parts.push(Vec::new());
            }
            "// guide: end" => inside = false,
            _ if inside => parts.last_mut().expect("a part has begun").push(line),
            _ => {}
        }
    }
    let indent = |lines: &[&str]| lines[0].len() - lines[0].trim_start().len();
    let plain = |lines: Vec<&str>| -> Vec<String> {
        let indent = indent(&lines);
        lines.into_iter().map(|line| line.get(indent..).unwrap_or("").to_owned()).collect()
    };
    parts.into_iter().map(|lines| plain(lines).join("\n")).collect()
}

#[test]
fn the_guide_shows_this_code() {
    compare("write-a-store.md", include_str!("guide_stores.rs"));
}

fn compare(guide: &str, file: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/");
    let guide = fs::read_to_string(PathBuf::from(path).join(guide)).expect("a guide");
    let blocks = guide.split("```rust\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest).to_owned());
    let (blocks, here): (Vec<String>, _) = (blocks.collect(), shown_in(file));
    assert_eq!(blocks.len(), here.len(), "blocks of Rust in the guide, and parts shown of this file");
    for (block, part) in blocks.iter().zip(&here) {
        assert_eq!(block, part, "the guide and this file differ");
    }
}
