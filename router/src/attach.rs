//! How messages come to shards: one ring a shard, written by whoever holds the router.

use crate::Placement;
use spsc::{Consumer, Doorbell, Producer};
use std::sync::Arc;

/// Messages that may wait for one shard.
const INBOX_MESSAGES: usize = 64;

/// The sending side of every shard's inbox.
///
/// One at a time: the engine keeps it behind a lock that clients take when they attach, never when they append.
#[derive(Debug)]
pub struct Router<M> {
    shards: Vec<(Producer<M>, Arc<Doorbell>)>,
}

/// A shard's inbox is full: it has not taken the messages sent before. The message comes back.
#[derive(Debug)]
pub struct InboxFull<M>(pub M);

impl<M> Router<M> {
    /// A router over the shards of the table, in order.
    ///
    /// # Panics
    /// If the table has another number of shards.
    #[must_use]
    pub fn new(placement: &Placement, shards: Vec<(Producer<M>, Arc<Doorbell>)>) -> Router<M> {
        assert_eq!(usize::from(placement.shards()), shards.len(), "a shard for each line of the table");
        Router { shards }
    }

    /// The doorbell of a shard.
    #[must_use]
    pub fn doorbell(&self, shard: u16) -> &Arc<Doorbell> {
        &self.shards[usize::from(shard)].1
    }

    /// Sends a message to a shard, and wakes it.
    ///
    /// # Errors
    /// The message comes back if the inbox is full, or the shard is gone.
    pub fn send(&mut self, shard: u16, message: M) -> Result<(), InboxFull<M>> {
        let (inbox, doorbell) = &mut self.shards[usize::from(shard)];
        let sent = inbox.try_push(message).map_err(|error| match error {
            spsc::PushError::Full(message) | spsc::PushError::Disconnected(message) => InboxFull(message),
        });
        doorbell.ring();
        sent
    }
}

/// A shard's inbox.
#[must_use]
pub fn inbox<M>() -> (Producer<M>, Consumer<M>) {
    spsc::ring(INBOX_MESSAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_their_shard_and_a_full_inbox_gives_them_back() {
        let placement = Placement::new(1, 2, &[]).unwrap();
        let (tx0, mut rx0) = inbox();
        let (tx1, mut rx1) = inbox();
        let bell = || Arc::new(Doorbell::new(|| {}));
        let mut router = Router::new(&placement, vec![(tx0, bell()), (tx1, bell())]);
        router.send(1, 10).unwrap();
        assert_eq!((rx0.pop(), rx1.pop()), (None, Some(10)));
        for message in 0..INBOX_MESSAGES {
            router.send(0, message).unwrap();
        }
        let InboxFull(back) = router.send(0, 99).unwrap_err();
        assert_eq!(back, 99);
        drop(rx1);
        assert!(router.send(1, 5).is_err(), "the shard is gone");
    }
}
