//! In which order the listener takes ciphers.
//!
//! In: the suites that rustls offers, and whether this processor encrypts AES by itself. Out: the same suites, what is
//! quickest here first. All of them are as safe as anybody needs; what differs is what a byte costs, and a device with
//! a thousand watches encrypts each event a thousand times. Never adds or drops a suite.

use rustls::{CipherSuite, SupportedCipherSuite};

/// The suites, quickest first.
pub(super) fn quickest_first(mut suites: Vec<SupportedCipherSuite>, has_aes: bool) -> Vec<SupportedCipherSuite> {
    suites.sort_by_key(|suite| cost(suite.suite(), has_aes));
    suites
}

/// Whether this processor has instructions for AES. Many small ARM boards have none.
pub(super) fn processor_has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// A rank: AES-128 makes ten rounds where AES-256 makes fourteen; in plain instructions ChaCha20 beats both.
fn cost(suite: CipherSuite, has_aes: bool) -> u8 {
    use CipherSuite as S;
    match suite {
        S::TLS13_AES_128_GCM_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 1,
        S::TLS13_AES_256_GCM_SHA384
        | S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 2,
        _ if has_aes => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(has_aes: bool, modern: &[CipherSuite]) {
        let all = rustls::crypto::ring::default_provider().cipher_suites;
        let ordered = quickest_first(all.clone(), has_aes);
        assert_eq!(ordered.len(), all.len());
        let names: Vec<_> = ordered.iter().filter(|s| s.tls13().is_some()).map(|s| s.suite()).collect();
        assert_eq!(names, modern);
        assert!(all.iter().all(|suite| ordered.contains(suite)));
    }

    #[test]
    fn the_processor_decides() {
        use CipherSuite as S;
        let (small, large, chacha) =
            (S::TLS13_AES_128_GCM_SHA256, S::TLS13_AES_256_GCM_SHA384, S::TLS13_CHACHA20_POLY1305_SHA256);
        check(true, &[small, large, chacha]);
        check(false, &[chacha, small, large]);
    }
}
