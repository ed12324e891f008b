//! What went wrong is found by its type however deep it is, and said once.

use std::error::Error;
use std::fmt;
use std::io;

use accelerator_core::testkit::{Fault, Op};
use accelerator_core::{CacheError, CacheResult, ErrorKind, StoreError, StoreErrorKind};

use crate::common::{World, ok};

/// An error that has a cause, and shows it or doesn't.
#[derive(Debug)]
struct Outer {
    cause: io::Error,
    shows: bool,
}

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shows {
            true => write!(f, "no rows: {}", self.cause),
            false => f.write_str("no rows"),
        }
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

fn away() -> io::Error {
    io::Error::other("the database is away")
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_a_failed_load_is_found_in_any_chain_and_shown_once() {
    async fn fails<E: Into<accelerator_core::LoadError> + Send + 'static>(
        error: impl Fn() -> E + Send + Sync + 'static,
    ) -> CacheError {
        let cache = World::new().bare().l1(accelerator_core::testkit::MemoryL1::new());
        let cache = cache.loader(move |_| std::future::ready(Err::<Option<u64>, E>(error()))).build().unwrap();
        cache.get(&1).await.expect_err("it fails")
    }
    let all = [
        (fails(away).await, "the loader failed: the database is away"),
        (fails(|| Outer { cause: away(), shows: false }).await, "the loader failed: no rows: the database is away"),
        (fails(|| Outer { cause: away(), shows: true }).await, "the loader failed: no rows: the database is away"),
        (
            fails(|| anyhow::Error::new(away()).context("in a query").context("in a request")).await,
            "the loader failed: in a request: in a query: the database is away",
        ),
        (
            fails(|| anyhow::Error::new(away()).reallocate_into_boxed_dyn_error_without_backtrace()).await,
            "the loader failed: the database is away",
        ),
    ];
    for (error, says) in all {
        assert_eq!(error.downcast_ref::<io::Error>().map(ToString::to_string).as_deref(), Some("the database is away"));
        assert!(error.downcast_ref::<fmt::Error>().is_none());
        assert_eq!((error.to_string().as_str(), format!("{error:#}").as_str()), ("the loader failed", says));
        assert_eq!(format!("{error:?}"), format!("CacheError(Loader: {says})"));
        // Around it, others see the same chain.
        let outer = anyhow::Error::new(error);
        assert!(outer.chain().any(|cause| cause.is::<io::Error>()));
        let shown = format!("{outer:#}");
        assert!(shown == says || shown.contains("no rows: the database is away"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_an_unconfirmed_write_is_shown_once() {
    let w = World::new();
    w.l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
    let error = ok(w.both()).del(&1).await.expect_err("L2 is away");
    let store = error.downcast_ref::<StoreError>().expect("what the store said").to_string();
    assert_eq!(format!("{error:#}").matches(&store).count(), 1, "{error:#}");
    assert_eq!(format!("{:#}", anyhow::Error::new(error)).matches(&store).count(), 1);
}

#[test]
fn what_a_store_says_while_it_connects_is_an_error_of_the_cache_by_a_question_mark() {
    fn start(error: StoreError) -> CacheResult<()> {
        Err(error)?;
        Ok(())
    }
    let with = |kind| StoreError::new(kind, "no connection to redis:6379").with_source(away());
    for (kind, transient) in [
        (StoreErrorKind::Unavailable, true),
        (StoreErrorKind::Timeout, true),
        (StoreErrorKind::Unsupported, false),
        (StoreErrorKind::Rejected, false),
    ] {
        let error = start(with(kind)).unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Store, transient));
        assert_eq!(error.downcast_ref::<StoreError>().map(StoreError::kind), Some(kind));
        assert!(error.downcast_ref::<io::Error>().is_some());
        let says = "the L2 store failed: no connection to redis:6379: the database is away";
        assert_eq!((format!("{error:#}").as_str(), format!("{:#}", anyhow::Error::new(error)).as_str()), (says, says));
    }
    // What the builder of a store has refused is what it was.
    let refused = CacheError::new(ErrorKind::InvalidConfig, "url = (set): takes redis://..");
    let error = start(StoreError::new(StoreErrorKind::Other, "no store").with_source(refused)).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidConfig, "url = (set): takes redis://.."));
}
