//! Room for the mails that are being taken in, in bytes: each is held in memory until it is dealt with. Room is taken as the
//! bytes come, never for what somebody says they will send; and whoever has not shown yet who they are gets half of it at most.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes are held at once.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// All the room there is.
#[derive(Debug)]
pub struct Inbound {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// Who sends something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who showed a token or a password before anything was read.
    Known,
    /// Somebody whose signature can only be checked when everything was read.
    Stranger,
}

/// There is no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Default for Inbound {
    fn default() -> Self {
        Self::of_bytes(MAX_BYTES)
    }
}

impl Inbound {
    /// Room for so many bytes.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(bytes)), strangers: Arc::new(Semaphore::new(bytes / 2)) }
    }

    /// Nothing yet, for this caller.
    pub fn held_for(&self, caller: Caller) -> Held {
        let strangers = (caller == Caller::Stranger).then(|| self.strangers.clone());
        Held { all: Share::of(self.all.clone()), strangers: strangers.map(Share::of) }
    }
}

/// The room that one caller has taken; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    all: Share,
    strangers: Option<Share>,
}

impl Held {
    /// Takes room for so many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if let Some(strangers) = &mut self.strangers {
            strangers.grow(bytes)?;
        }
        self.all.grow(bytes)
    }

    /// Gives back what was taken beyond so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        self.all.keep(bytes);
        if let Some(strangers) = &mut self.strangers {
            strangers.keep(bytes);
        }
    }

    /// The caller has shown who they are: other strangers get their share of the room.
    pub fn shown(&mut self) {
        self.strangers = None;
    }
}

#[derive(Debug)]
struct Share {
    of: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn of(of: Arc<Semaphore>) -> Self {
        Self { of, taken: None }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full)?;
        let more = self.of.clone().try_acquire_many_owned(bytes).map_err(|_| Full)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    fn keep(&mut self, bytes: usize) {
        if let Some(taken) = &mut self.taken {
            drop(taken.split(taken.num_permits().saturating_sub(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_together_get_half_and_who_has_shown_who_they_are_the_rest() {
        let room = Inbound::of_bytes(100);
        let (mut first, mut second) = (room.held_for(Caller::Stranger), room.held_for(Caller::Stranger));
        assert_eq!((first.grow(30), second.grow(20)), (Ok(()), Ok(())));
        assert_eq!(second.grow(1), Err(Full));
        let mut known = room.held_for(Caller::Known);
        assert_eq!((known.grow(50), known.grow(1)), (Ok(()), Err(Full)));
        drop(known);
        first.shown();
        assert_eq!(second.grow(30), Ok(()), "the first is no stranger any more");
        assert_eq!((first.grow(20), first.grow(1)), (Ok(()), Err(Full)), "but what it holds is still held");
    }

    #[test]
    fn what_is_dropped_or_given_back_is_free_again() {
        let room = Inbound::of_bytes(100);
        let mut held = room.held_for(Caller::Stranger);
        assert_eq!(held.grow(50), Ok(()));
        held.keep(20);
        assert_eq!((held.grow(31), held.grow(30)), (Err(Full), Ok(())));
        held.keep(60);
        assert_eq!(held.grow(1), Err(Full), "nothing is taken by keeping more");
        held.keep(0);
        assert_eq!(held.grow(50), Ok(()));
        drop(held);
        assert_eq!(room.held_for(Caller::Known).grow(100), Ok(()));
    }
}
