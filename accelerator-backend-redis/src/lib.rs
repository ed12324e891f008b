//! The L2 store of the accelerator cache on Redis and Valkey.
