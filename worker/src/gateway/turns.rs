//! How much of a run is under way to the model at once, by the request and by the byte.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refused;

/// So many requests of a run are at the model at once.
pub(super) const MAX_AT_ONCE: usize = 8;
/// No provider takes more.
pub(super) const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// So many bytes of a run are held at once, before they are sent: two of the largest requests, or any number of usual ones.
const MAX_HELD: u32 = 2 * MOST;
const MOST: u32 = 32 * 1024;
/// What they are counted in.
const UNIT_BYTES: u64 = 1024;

/// Whose turn it is. Whoever has none waits.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    requests: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            held: Arc::new(Semaphore::new(MAX_HELD as usize)),
        }
    }
}

impl Turns {
    /// The turn of a request, to its end.
    pub(super) async fn of_request(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.requests).acquire_owned().await.map_err(over)
    }

    /// The turn of its bytes, for as long as they are held. Who does not say how many come may bring the most.
    pub(super) async fn of_bytes(&self, body: &Incoming) -> Result<OwnedSemaphorePermit, Refused> {
        let units = body.size_hint().upper().map_or(MOST, units);
        Arc::clone(&self.held).acquire_many_owned(units).await.map_err(over)
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_or(MOST, |units| units.clamp(1, MOST))
}

fn over(_: tokio::sync::AcquireError) -> Refused {
    Refused::forbidden("the run is over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_its_room_and_the_largest_no_more_than_there_is() {
        assert_eq!([0, 1, 1024, 1025].map(units), [1, 1, 1, 2]);
        assert_eq!(u64::from(units(MAX_BODY_BYTES as u64)) * UNIT_BYTES, MAX_BODY_BYTES as u64);
        assert_eq!(units(u64::MAX), MOST);
    }
}
