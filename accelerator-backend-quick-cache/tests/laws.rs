//! The store keeps the laws, with each way of bounding it.

use accelerator_backend_quick_cache::QuickCacheL1;

accelerator_core::l1_laws!(by_entries, QuickCacheL1::new(1000));
accelerator_core::l1_laws!(
    by_weight,
    QuickCacheL1::builder().weigher(1000, |_, _| 1).estimated_entries(1000).build().expect("a bound")
);
