//! Which files are being stored right now, by all workers of a receiver.
//!
//! Two transfers that write to the same partial files would only get into each other's way. It happens when a sender was
//! killed and is back before it was missed, most likely at another worker. So the newer transfer goes on, and looks at the
//! target directory when the older one has let go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::manifest::Manifest;

/// Claims of this process that were ever overtaken: who looks at many looks only when this has changed.
static OVERTAKEN: AtomicU64 = AtomicU64::new(0);

/// How many claims of this process were ever overtaken.
#[must_use]
pub fn overtaken_so_far() -> u64 {
    OVERTAKEN.load(Ordering::Acquire)
}

/// The claims on a target directory.
#[derive(Debug, Default)]
pub struct Claims(Mutex<Vec<Weak<Claimed>>>);

/// What is claimed: for as long as its [`Claim`] lives.
#[derive(Debug)]
struct Claimed {
    manifest: Arc<Manifest>,
    is_overtaken: AtomicBool,
}

/// A transfer's claim on the files of its manifest, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    claimed: Arc<Claimed>,
    /// Those that shared a file with this one when it was made.
    older: Vec<Weak<Claimed>>,
}

impl Claims {
    /// Claims the files of `manifest`. Whoever has a claim on one of them is overtaken.
    #[must_use]
    pub fn claim(&self, manifest: Arc<Manifest>) -> Claim {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|claimed| claimed.strong_count() > 0);
        let overtake = |other: &&Weak<Claimed>| {
            let Some(other) = other.upgrade() else { return false };
            let shares = other.manifest.shares_a_file_with(&manifest);
            if shares {
                other.is_overtaken.store(true, Ordering::Relaxed);
                OVERTAKEN.fetch_add(1, Ordering::Release);
            }
            shares
        };
        let older = all.iter().filter(overtake).cloned().collect();
        let claimed = Arc::new(Claimed { manifest, is_overtaken: AtomicBool::new(false) });
        all.push(Arc::downgrade(&claimed));
        Claim { claimed, older }
    }
}

impl Claim {
    /// Whether a newer transfer wants one of the files.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        self.claimed.is_overtaken.load(Ordering::Relaxed)
    }

    /// Whether all that were overtaken by this one have let go.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.older.iter().all(|claimed| claimed.strong_count() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{Kind, ManifestBuilder, Meta};

    fn manifest(file: &str) -> Arc<Manifest> {
        let mut builder = ManifestBuilder::new();
        builder.push(file.as_bytes(), Kind::File { size_bytes: 1 }, Meta::default()).unwrap();
        Arc::new(builder.finish())
    }

    #[test]
    fn a_newer_claim_on_a_file_overtakes_and_waits() {
        let claims = Claims::default();
        let [ours, theirs] = ["a", "b"].map(manifest);
        let first = claims.claim(Arc::clone(&ours));
        let other = claims.claim(theirs);
        assert!(first.is_clear() && other.is_clear());
        let before = overtaken_so_far();
        let second = claims.claim(Arc::clone(&ours));
        assert!(first.is_overtaken() && !other.is_overtaken() && !second.is_overtaken());
        assert!(overtaken_so_far() > before, "whoever looks only at changes sees one");
        assert!(!second.is_clear());
        let third = claims.claim(ours);
        drop(first);
        assert!(second.is_clear() && second.is_overtaken() && !third.is_clear());
        drop(second);
        assert!(third.is_clear() && !third.is_overtaken() && !other.is_overtaken());
    }
}
