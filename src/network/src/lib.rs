//! Addresses, links, nftables ruleset, DNS configuration
