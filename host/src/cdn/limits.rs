//! How much is asked of others at a time (CDN-5): of all together, of an address, and of a host.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Detections under way at a time where nobody says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// Connections to one address at a time.
pub const MOST_PER_ADDRESS: u32 = 2;

/// Lets so many through at a time.
#[derive(Debug)]
pub struct Limits {
    all: Arc<Semaphore>,
    addresses: Keyed<IpAddr>,
    hosts: Keyed<String>,
}

/// Is looked at; ends when it is dropped.
#[derive(Debug)]
pub struct OneOfAll {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Asks a host; ends when it is dropped.
#[derive(Debug)]
pub struct TurnOfHost {
    _permit: KeyedPermit<String>,
}

/// Connects to an address; ends when it is dropped.
#[derive(Debug)]
pub struct TurnAtAddress {
    _permit: Option<KeyedPermit<IpAddr>>,
}

// Whoever needs several takes them in this order: one of all, the host, the address. Nobody then waits for another who waits
// for him.
impl Limits {
    /// At most so many at a time, and one at least.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(concurrency)),
            addresses: Keyed::new(MOST_PER_ADDRESS as usize),
            hosts: Keyed::new(1),
        }
    }

    /// Waits to be one of those that are looked at.
    pub async fn enter(&self) -> OneOfAll {
        // It is never closed.
        OneOfAll { _permit: Arc::clone(&self.all).acquire_owned().await.ok() }
    }

    /// Waits until nobody else asks this host: a name, or an address. Case makes no difference.
    pub async fn host(&self, host: &str) -> TurnOfHost {
        TurnOfHost { _permit: self.hosts.acquire(host.to_ascii_lowercase(), 1).await }
    }

    /// Waits to open so many connections to the address, two at most. For none there is no waiting.
    pub async fn address(&self, address: IpAddr, connections: u32) -> TurnAtAddress {
        let permit = match connections.min(MOST_PER_ADDRESS) {
            0 => None,
            connections => Some(self.addresses.acquire(address.to_canonical(), connections).await),
        };
        TurnAtAddress { _permit: permit }
    }
}

/// A semaphore for each key that somebody holds or waits for.
#[derive(Debug)]
struct Keyed<K: Eq + Hash> {
    permits: usize,
    semaphores: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

#[derive(Debug)]
struct KeyedPermit<K: Eq + Hash> {
    key: K,
    permit: Option<OwnedSemaphorePermit>,
    semaphores: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

impl<K: Clone + Eq + Hash> Keyed<K> {
    fn new(permits: usize) -> Self {
        Self { permits, semaphores: Arc::default() }
    }

    async fn acquire(&self, key: K, count: u32) -> KeyedPermit<K> {
        let semaphore = {
            let mut semaphores = locked(&self.semaphores);
            let new = || Arc::new(Semaphore::new(self.permits));
            Arc::clone(semaphores.entry(key.clone()).or_insert_with(new))
        };
        // Made before the wait, so that whoever gives up waiting clears up, too.
        let mut held = KeyedPermit { key, permit: None, semaphores: Arc::clone(&self.semaphores) };
        // It is never closed.
        held.permit = semaphore.acquire_many_owned(count).await.ok();
        held
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut semaphores = locked(&self.semaphores);
        // The permit has a reference of its own.
        self.permit = None;
        if semaphores.get(&self.key).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            semaphores.remove(&self.key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn polled<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// CDN-5: requests to one host one after the other, two connections to one address, so many of all.
    #[test]
    fn turns_come_one_after_the_other() {
        let limits = Limits::new(2);
        let mut first = pin!(limits.host("a.example.com"));
        let turn = polled(&mut first).expect("nobody else is there");
        let mut same = pin!(limits.host("A.Example.com"));
        assert!(polled(&mut same).is_none());
        assert!(polled(&mut pin!(limits.host("b.example.com"))).is_some());
        drop(turn);
        assert!(polled(&mut same).is_some());

        let one = polled(&mut pin!(limits.address(ip(1), 1)));
        let mut two = pin!(limits.address(ip(1), 2));
        assert!(one.is_some() && polled(&mut two).is_none());
        assert!(polled(&mut pin!(limits.address(ip(1), 0))).is_some());
        assert!(polled(&mut pin!(limits.address(ip(2), 9))).is_some());
        drop(one);
        assert!(polled(&mut two).is_some());

        let (one, two) = (polled(&mut pin!(limits.enter())), polled(&mut pin!(limits.enter())));
        let mut three = pin!(limits.enter());
        assert!(one.is_some() && two.is_some() && polled(&mut three).is_none());
        drop(one);
        assert!(polled(&mut three).is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_that_are_done_or_gave_up() {
        let limits = Limits::new(1);
        {
            let turn = polled(&mut pin!(limits.host("a")));
            let mut gives_up = pin!(limits.host("a"));
            assert!(turn.is_some() && polled(&mut gives_up).is_none());
            assert_eq!(locked(&limits.hosts.semaphores).len(), 1);
        }
        assert!(locked(&limits.hosts.semaphores).is_empty());
    }
}
