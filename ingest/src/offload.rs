//! Work that takes a while and waits for nothing: away from the loop, where there is another thread.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, spawn_blocking};

/// Does the work on a thread that may block. On a runtime of one thread, as simulations use, it is
/// done at once, so that everything happens in one order.
///
/// # Errors
/// Where that thread ended early.
pub async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work());
    }
    spawn_blocking(work).await
}
