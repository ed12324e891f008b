//! envelope_bytes
