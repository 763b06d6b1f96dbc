//! What was found out not long ago: so many entries, each for so long, and the one that was least recently asked for goes first.
//! It has no clock; whoever asks says what time it is.

use std::collections::HashMap;
use std::hash::Hash;

use wirehaul_core::time::{Duration, Instant};

/// Entries where nobody says otherwise (CDN-5).
pub const DEFAULT_ENTRIES: usize = 10_000;

/// How long an entry holds where nobody says otherwise.
pub const DEFAULT_HOLDS: Duration = Duration::from_secs(600);

/// Answers by what was asked.
#[derive(Debug)]
pub struct Cache<K, V> {
    most: usize,
    holds: Duration,
    places: HashMap<K, usize>,
    entries: Vec<Entry<K, V>>,
    /// The entry that was asked for last, and the one that was not for longest. [`NONE`] in an empty cache.
    newest: usize,
    oldest: usize,
}

/// An entry, and its neighbours in the order in which they were asked for.
#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    until: Instant,
    newer: usize,
    older: usize,
}

const NONE: usize = usize::MAX;

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Room for so many entries, which hold so long. Without room it remembers nothing.
    #[must_use]
    pub fn new(most: usize, holds: Duration) -> Self {
        Self { most, holds, places: HashMap::new(), entries: Vec::new(), newest: NONE, oldest: NONE }
    }

    /// What was found out, if that is not too long ago.
    pub fn get(&mut self, key: &K, now: Instant) -> Option<V> {
        let place = *self.places.get(key)?;
        let entry = self.entries.get(place).filter(|entry| entry.until > now)?;
        let value = entry.value.clone();
        self.unlink(place);
        self.link_as_newest(place);
        Some(value)
    }

    /// Remembers what was found out, in place of what was known before.
    pub fn insert(&mut self, key: K, value: V, now: Instant) {
        if self.most == 0 {
            return;
        }
        let until = now + self.holds;
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.entries.len() < self.most => {
                self.places.insert(key.clone(), self.entries.len());
                self.entries.push(Entry { key, value, until, newer: NONE, older: NONE });
                self.link_as_newest(self.entries.len() - 1);
                return;
            }
            // The room of the oldest.
            None => self.oldest,
        };
        self.unlink(place);
        if let Some(entry) = self.entries.get_mut(place) {
            if entry.key != key {
                self.places.remove(&entry.key);
                self.places.insert(key.clone(), place);
            }
            (entry.key, entry.value, entry.until) = (key, value, until);
        }
        self.link_as_newest(place);
    }

    /// How many entries there are, those that hold no longer included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn unlink(&mut self, place: usize) {
        let Some(entry) = self.entries.get(place) else { return };
        let (newer, older) = (entry.newer, entry.older);
        match self.entries.get_mut(newer) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_as_newest(&mut self, place: usize) {
        let older = self.newest;
        match self.entries.get_mut(older) {
            Some(neighbour) => neighbour.newer = place,
            None => self.oldest = place,
        }
        if let Some(entry) = self.entries.get_mut(place) {
            (entry.newer, entry.older) = (NONE, older);
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// CDN-5: entries expire.
    #[test]
    fn an_entry_holds_for_its_time() {
        let mut cache = Cache::new(2, Duration::from_secs(10));
        cache.insert("a", 1, at(0));
        assert_eq!(cache.get(&"a", at(9)), Some(1));
        assert_eq!(cache.get(&"a", at(10)), None);
        cache.insert("a", 2, at(10));
        assert_eq!(cache.get(&"a", at(19)), Some(2));
        assert_eq!(cache.len(), 1);
    }

    /// CDN-5: the number of entries is bounded.
    #[test]
    fn the_one_that_was_not_asked_for_longest_goes() {
        let mut cache = Cache::new(2, Duration::from_secs(10));
        cache.insert("a", 1, at(0));
        cache.insert("b", 2, at(0));
        assert_eq!(cache.get(&"a", at(1)), Some(1));
        cache.insert("c", 3, at(1));
        assert_eq!((cache.get(&"a", at(1)), cache.get(&"b", at(1)), cache.get(&"c", at(1))), (Some(1), None, Some(3)));
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut cache = Cache::new(0, Duration::from_secs(10));
        cache.insert("a", 1, at(0));
        assert!(cache.get(&"a", at(0)).is_none() && cache.is_empty());
    }

    proptest! {
        /// The same as a list that is searched from end to end.
        #[test]
        fn it_does_as_a_list_does(
            most in 1_usize..6,
            steps in prop::collection::vec((any::<bool>(), 0_u8..10, 0_u64..4), 0..200),
        ) {
            let holds = Duration::from_secs(20);
            let mut cache = Cache::new(most, holds);
            // The least recently used first.
            let mut list: Vec<(u8, usize, Instant)> = Vec::new();
            let mut now = 0;
            for (number, (is_insert, key, passed)) in steps.into_iter().enumerate() {
                now += passed;
                let known = list.iter().position(|(other, _, _)| *other == key);
                if is_insert {
                    cache.insert(key, number, at(now));
                    match known {
                        Some(known) => drop(list.remove(known)),
                        None if list.len() == most => drop(list.remove(0)),
                        None => {}
                    }
                    list.push((key, number, at(now) + holds));
                } else {
                    let expected = known.filter(|known| list[*known].2 > at(now)).map(|known| {
                        let entry = list.remove(known);
                        list.push(entry);
                        entry.1
                    });
                    prop_assert_eq!(cache.get(&key, at(now)), expected);
                }
                prop_assert_eq!(cache.len(), list.len());
            }
        }
    }
}
