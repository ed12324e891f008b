//! The stores of `docs/guide/write-a-store.md`. The guide shows what stands between the markers here, word for word.

#![allow(unreachable_pub, reason = "the guide shows stores as a library would export them")]

// guide: begin
use std::collections::HashMap;
use std::hash::Hash;

use accelerator_core::{Entry, L1Stats, L1Store};
use parking_lot::Mutex;

/// A map of at most so many entries. When it is full, any one goes.
pub struct MapL1<K, V>(usize, Mutex<HashMap<K, Entry<V>>>);

impl<K, V> MapL1<K, V> {
    /// An empty map.
    pub fn new(max: usize) -> Self {
        Self(max, Mutex::default())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> L1Store<K, V> for MapL1<K, V> {
    fn get(&self, key: &K) -> Option<Entry<V>> {
        self.1.lock().get(key).cloned()
    }
    fn insert(&self, key: K, entry: Entry<V>) {
        let mut map = self.1.lock();
        if map.len() >= self.0 && !map.contains_key(&key) {
            let any = map.keys().next().cloned();
            any.and_then(|any| map.remove(&any));
        }
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
accelerator_core::l1_laws!(map_l1, MapL1::new(1000));
// guide: end

// guide: begin
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accelerator_core::{Bytes, L2Store, Limits, StoreError, StoreErrorKind, StoreResult, async_trait};

/// One file per key, in a directory that nobody else writes to. The first eight bytes of a file are its deadline (Unix
/// milliseconds), the rest is the value.
pub struct FileL2 {
    dir: PathBuf,
}

impl FileL2 {
    /// The store of a directory, which is made if need be.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, key: &str) -> PathBuf {
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("v-{hex}"))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn failed(op: &str, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::StorageFull => StoreErrorKind::Rejected,
        // A key beyond the limits below.
        ErrorKind::InvalidFilename => StoreErrorKind::TooLarge,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, op).with_source(error)
}

#[async_trait]
impl L2Store for FileL2 {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let file = match fs::read(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read a file", error)),
        };
        let deadline = file.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Ok((now() < deadline).then(|| Bytes::from(file).slice(8..)))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        let deadline = now().saturating_add(millis(ttl));
        let temp = self.dir.join(format!("t-{:016x}", RandomState::new().hash_one(key)));
        let write = || {
            let mut file = File::create_new(&temp)?;
            file.write_all(&deadline.to_le_bytes())?;
            file.write_all(&value)?;
            fs::rename(&temp, self.path(key))
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temp);
            failed("write a file", error)
        })
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove a file", error)),
            _ => Ok(()),
        }
    }

    fn limits(&self) -> Limits {
        // A file name has 255 bytes: the mark, and two for each byte of the key.
        Limits::default().max_key_bytes(126)
    }
}
// guide: end

// guide: begin
accelerator_core::l2_laws!(file_l2, FileL2::open(directory()).unwrap());
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
    DIRECTORY.with(|own| own.0.clone())
}

#[tokio::test]
async fn both_stores_serve_a_cache_that_is_built_again() {
    use accelerator_core::{CacheResult, LevelCache, Lookup};

    async fn run(dir: PathBuf) -> CacheResult<(Lookup<String>, Option<String>)> {
        // guide: begin
        let users = LevelCache::<u64, String>::builder()
            .area("user")
            .l1(std::sync::Arc::new(MapL1::new(10_000)))
            .l2(FileL2::open(dir).expect("a directory"))
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
    let store = MapL1::new(2);
    (0..10).for_each(|key| store.insert(key, Entry::new(Some(key), 0, 10, 10, 0)));
    assert_eq!(store.stats().entries, 2);
    assert!(store.get(&9).is_some(), "the newest is there");
}

#[tokio::test]
async fn file_names_that_mean_something_else_are_keys() {
    let store = FileL2::open(directory()).unwrap();
    for key in ["", ".", "..", "~", "-", "CON", "con"] {
        store.set(key, key.to_owned().into(), Duration::from_secs(60)).await.unwrap();
    }
    for key in ["", ".", "..", "~", "-", "CON", "con"] {
        assert_eq!(store.get(key).await.unwrap().as_deref(), Some(key.as_bytes()), "key {key:?}");
    }
}

#[tokio::test]
async fn a_file_without_a_deadline_is_missing() {
    let store = FileL2::open(directory()).unwrap();
    for bytes in [&b""[..], b"short"] {
        fs::write(store.path("damaged"), bytes).unwrap();
        assert_eq!(store.get("damaged").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_write_leaves_no_other_file_behind() {
    let store = FileL2::open(directory()).unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    for round in 0..10 {
        store.set("key", format!("{round}").into(), week).await.unwrap();
    }
    assert_eq!(fs::read_dir(&store.dir).unwrap().count(), 1);
    fs::remove_dir_all(&store.dir).unwrap();
    let error = store.set("key", Bytes::new(), week).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(!error.to_string().contains("file-l2"), "an error names no path, and so no key: {error}");
}

/// What stands between the markers, each part without its indentation.
fn shown_here() -> Vec<String> {
    let mut parts: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for line in include_str!("guide_stores.rs").lines() {
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
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/write-a-store.md");
    let guide = fs::read_to_string(path).unwrap();
    let blocks = guide.split("```rust\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or(rest).to_owned());
    let (blocks, here): (Vec<String>, _) = (blocks.collect(), shown_here());
    assert_eq!(blocks.len(), here.len(), "blocks of Rust in the guide, and parts shown of this file");
    for (block, part) in blocks.iter().zip(&here) {
        assert_eq!(block, part, "the guide and this file differ");
    }
}
