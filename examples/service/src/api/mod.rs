//! Requests and responses: one file for each resource.

mod user_handler;

pub use user_handler::{Response, delete_user, delete_users, get_user, list_users, put_user};
