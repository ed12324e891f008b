//! The laws of an L2 store, for every way of setting the store up.

use std::sync::LazyLock;

use accelerator_backend_redis::RedisStore;
use accelerator_core::l2_laws;
use accelerator_core::testkit::server::RedisServer;

use crate::support::{builder, expecting, shared};

/// What the guide calls the least that a user must be allowed.
pub(crate) const MINIMAL_ACL: &str =
    "resetkeys ~app:* resetchannels -@all +get +mget +set +unlink +getrange +eval +evalsha +time +ping";

l2_laws!(redis, {
    let Some(store) = shared().await else { return };
    store
});

l2_laws!(expecting_hits, {
    let Some(store) = shared().await else { return };
    expecting(store).await
});

l2_laws!(with_minimal_rights, {
    let Some(store) = as_minimal_user().await else { return };
    store
});

l2_laws!(expecting_hits_with_minimal_rights, {
    let Some(store) = as_minimal_user().await else { return };
    expecting(store).await
});

async fn as_minimal_user() -> Option<RedisStore> {
    static SERVER: LazyLock<Option<RedisServer>> =
        LazyLock::new(|| RedisServer::builder().acl_user("app", "pass/word", MINIMAL_ACL).start());
    let server = SERVER.as_ref()?;
    Some(builder(server.url_as("app", "pass/word")).key_prefix("app:").connect().await.expect("a connection"))
}
