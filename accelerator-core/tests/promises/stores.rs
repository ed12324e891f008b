//! The stores that tests run over which say nothing of time.

use std::sync::Arc;

use accelerator_core::L2Store;
use accelerator_core::testkit::MemoryL2;

pub(crate) async fn fresh() -> Vec<Arc<dyn L2Store>> {
    vec![Arc::new(MemoryL2::new()), Arc::new(MemoryL2::new().with_leases())]
}
