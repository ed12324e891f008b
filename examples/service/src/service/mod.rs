//! What the service does: one file for each subject.

mod user_service;

pub use user_service::UserService;
