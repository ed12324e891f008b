//! Text in, text out. A web framework would route to these functions.

use crate::service::UserService;
use crate::user::{CacheResult, User};

/// What goes back to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// As in HTTP.
    pub status: u16,
    /// A line per user, or a sentence about what is wrong.
    pub body: String,
}

/// `GET /users/{id}`
pub async fn get_user(service: &UserService, id: &str) -> Response {
    let Some(id) = parse(id) else { return not_an_id() };
    answer(service.get_user(id).await, |user| match user {
        Some(user) => Response { status: 200, body: line(&user) },
        None => Response { status: 404, body: "there is no such user".to_owned() },
    })
}

/// `GET /users?ids=1,2,3`: those that there are, in the order asked for.
pub async fn list_users(service: &UserService, ids: &str) -> Response {
    let Some(ids) = parse_all(ids) else { return not_an_id() };
    answer(service.batch_get_users(ids.clone()).await, |users| {
        let lines = ids.iter().filter_map(|id| users.get(id)?.as_ref()).map(line);
        Response { status: 200, body: lines.collect::<Vec<_>>().join("\n") }
    })
}

/// `PUT /users/{id}`
pub async fn put_user(service: &UserService, id: &str, name: &str, email: &str) -> Response {
    let Some(id) = parse(id) else { return not_an_id() };
    let user = User { id, name: name.into(), email: email.into() };
    answer(service.save_user(user).await, done)
}

/// `DELETE /users/{id}`
pub async fn delete_user(service: &UserService, id: &str) -> Response {
    let Some(id) = parse(id) else { return not_an_id() };
    answer(service.delete_user(id).await, done)
}

/// `DELETE /users?ids=1,2,3`
pub async fn delete_users(service: &UserService, ids: &str) -> Response {
    let Some(ids) = parse_all(ids) else { return not_an_id() };
    answer(service.batch_delete_users(ids).await, done)
}

/// Ids that the table can have: SQLite's integers end at 63 bits.
fn parse(id: &str) -> Option<u64> {
    id.parse().ok().filter(|id| i64::try_from(*id).is_ok())
}

fn parse_all(ids: &str) -> Option<Vec<u64>> {
    ids.split(',').filter(|id| !id.is_empty()).map(parse).collect()
}

fn line(user: &User) -> String {
    format!("{} {} <{}>", user.id, user.name, user.email)
}

fn done((): ()) -> Response {
    Response { status: 204, body: String::new() }
}

fn not_an_id() -> Response {
    Response { status: 400, body: "an id is a whole number".to_owned() }
}

fn answer<T>(result: CacheResult<T>, found: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|error| Response { status: 503, body: error.to_string() }, found)
}
