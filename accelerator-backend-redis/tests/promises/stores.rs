//! The stores of the tests that are those of the core.

use std::sync::Arc;

use accelerator_core::L2Store;
use accelerator_core::testkit::MemoryL2;

use crate::support::shared;

pub(crate) async fn fresh() -> Vec<Arc<dyn L2Store>> {
    match shared().await {
        Some(store) => vec![Arc::new(store)],
        // The test says that it was skipped.
        None => vec![Arc::new(MemoryL2::new())],
    }
}
