//! What this CPU runs fast, as it is told to the peer in the handshake (SEC-2).

use wirehaul_core::crypto::{Suite, SuiteSet};

/// The suites that this machine runs at full speed.
///
/// With AES instructions that is every suite: AES-GCM in hardware, and ChaCha20 is fast everywhere. Without them it
/// is ChaCha20 alone: AES in software is several times slower, and its tables leak through caches.
#[must_use]
pub fn local_suites() -> SuiteSet {
    suites(has_aes_instructions())
}

fn suites(aes_instructions: bool) -> SuiteSet {
    let everywhere = SuiteSet::EMPTY.with(Suite::ChaCha20Poly1305);
    if aes_instructions { everywhere.with(Suite::Aes128Gcm).with(Suite::Aes256Gcm) } else { everywhere }
}

/// Whether the CPU has both the AES rounds and the carry-less multiplication that GCM needs.
fn has_aes_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        // Rust's "aes" stands for FEAT_AES and FEAT_PMULL together.
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fast_cpus_agree_on_aes_and_a_slow_one_on_chacha() {
        assert_eq!(suites(true).best_common(suites(true)), Some(Suite::Aes128Gcm));
        assert_eq!(suites(true).best_common(suites(false)), Some(Suite::ChaCha20Poly1305));
        assert_eq!(suites(false).best_common(suites(false)), Some(Suite::ChaCha20Poly1305));
    }

    #[test]
    fn this_machine_shares_a_suite_with_every_other() {
        assert!(local_suites().best_common(suites(false)).is_some());
    }
}
