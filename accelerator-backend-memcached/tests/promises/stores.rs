//! The stores of the tests that are those of the core.

use std::sync::Arc;

use accelerator_core::L2Store;
use accelerator_core::testkit::MemoryL2;
use accelerator_core::testkit::server::memcached_addr;

use crate::tools::connect;

pub(crate) async fn fresh() -> Vec<Arc<dyn L2Store>> {
    match memcached_addr() {
        Some(addr) => vec![Arc::new(connect(addr).await)],
        // The test says that it was skipped.
        None => vec![Arc::new(MemoryL2::new())],
    }
}
