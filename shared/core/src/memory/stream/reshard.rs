//! Shards that are split and merged.

use std::sync::Arc;

use super::{
    MemoryStream, Shard,
    lane::{Lane, Subscription, Successor},
    lock,
};

impl<T> MemoryStream<T> {
    /// Splits a shard into two: it takes no more records, and its two halves are read after it.
    /// Returns whether it was open and could be split.
    pub fn split(&self, number: usize) -> bool {
        let shards = &mut *self.shards_mut();
        let Some(place) = shards.open.iter().position(|shard| shard.number == number) else {
            return false;
        };
        let parent = shards.open[place].clone();
        let (start, end) = (*parent.hashes.start(), *parent.hashes.end());
        if start == end {
            return false;
        }
        let middle = start + (end - start) / 2;
        let next = shards.all.len();
        let halves = [
            Shard::starting_now(next, start..=middle),
            Shard::starting_now(next + 1, middle + 1..=end),
        ];
        close(&[&parent], &halves.each_ref());
        shards.all.extend(halves.iter().cloned());
        shards.open.splice(place..=place, halves);
        true
    }

    /// Merges a shard with the one after it: they take no more records, and the whole is read after
    /// both. Returns whether there were two.
    pub fn merge(&self, number: usize) -> bool {
        let shards = &mut *self.shards_mut();
        let place = shards.open.iter().position(|shard| shard.number == number);
        let Some(place) = place.filter(|place| place + 1 < shards.open.len()) else {
            return false;
        };
        let (one, other) = (shards.open[place].clone(), shards.open[place + 1].clone());
        let hashes = *one.hashes.start()..=*other.hashes.end();
        let whole = Shard::starting_now(shards.all.len(), hashes);
        close(&[&one, &other], &[&whole]);
        shards.all.push(whole.clone());
        shards.open.splice(place..=place + 1, [whole]);
        true
    }
}

/// Closes `parents`: every lane of each subscription to them is followed by the same lane of each of
/// `children`, which is read once that of every parent is read.
fn close<T>(parents: &[&Arc<Shard<T>>], children: &[&Arc<Shard<T>>]) {
    let mut states: Vec<_> = parents.iter().map(|parent| lock(&parent.state)).collect();
    // Whoever subscribes to the one subscribes to the other.
    for number in 0..states[0].subscriptions.len() {
        let lanes = states[0].subscriptions[number].len();
        let mut successors: Vec<Vec<_>> = (0..lanes).map(|_| Vec::new()).collect();
        for child in children {
            let queues: Vec<Arc<Lane<T>>> = (0..lanes).map(|_| Arc::default()).collect();
            let weak = queues.iter().map(Arc::downgrade).collect();
            lock(&child.state).subscriptions.push(weak);
            for (place, lane) in queues.into_iter().enumerate() {
                let subscription = Subscription::new(child, place, lane);
                successors[place].push(Successor::after(parents.len(), subscription));
            }
        }
        for state in &mut states {
            for (place, lane) in state.subscriptions[number].iter().enumerate() {
                if let Some(lane) = lane.upgrade() {
                    lane.close(successors[place].clone());
                }
            }
        }
    }
}
