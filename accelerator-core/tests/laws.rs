use accelerator_core::testkit::*;
accelerator_core::l1_laws!(memory_l1, MemoryL1::new());
accelerator_core::l2_laws!(memory_l2, MemoryL2::new());
