//! What the service keeps in the database: one file for each table.

mod user_repo;

pub use user_repo::UserRepo;
