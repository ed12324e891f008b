//! A load by its caller's own future, with a ticket.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use crate::cache::future::CacheFuture;
use crate::cache::tickets::ticket::Begin;
use crate::error::{CacheError, CacheResult, LoadError};
use crate::pulse::Pulse;
use crate::traits::loader::Loaded;

/// A load by the caller's own future, for [`Cache::get_or_load_pinned`](crate::Cache::get_or_load_pinned): pinned where the caller has it, so that a hit
/// allocates nothing.
pub type Body<'a, V> = Pin<&'a mut (dyn Future<Output = Result<Loaded<V>, LoadError>> + Send + 'a)>;

/// `get_or_load` of a cache that has no other than its tickets.
pub(super) fn or_load<'a, V: Clone + Send + 'static>(
    mut begin: CacheFuture<'a, Begin<V>>,
    mut body: Body<'a, V>,
) -> CacheFuture<'a, CacheResult<Option<V>>> {
    let ready = begin.take_ready();
    if let Some(Begin::Hit(value)) = ready {
        return CacheFuture::ready(Ok(value));
    }
    CacheFuture::boxed(async move {
        let begun = match ready {
            Some(begun) => begun,
            None => begin.await,
        };
        let ticket = match begun {
            Begin::Hit(value) => return Ok(value),
            Begin::Lead(ticket) => ticket,
            Begin::Failed(failed) => return Err(failed.into_error()),
            Begin::Unavailable(error) => return Err(error),
        };
        let mut pulse = Pulse::default();
        match poll_fn(|cx| pulse.poll(Pin::new(&mut body), || ticket.pulse_point(), cx)).await {
            Ok(loaded) => {
                let value = loaded.value.clone();
                ticket.fill(loaded);
                Ok(value)
            }
            Err(error) => {
                let (error, stale) = (CacheError::loader(error), ticket.stale());
                ticket.fail(error.clone());
                stale.ok_or(error)
            }
        }
    })
}
