//! The pod network of one machine: addresses, links, mapped ports, masquerade, resolver settings.
//!
//! In: pods with their network namespaces. Out: pods that reach each other, the host and the world.
//! Never knows Kubernetes' objects; never touches links, addresses or tables that it did not make.

mod dial;
mod flows;
mod guard;
mod host;
mod leases;
mod link;
mod moves;
mod namespace;
mod netlink;
mod nft;
mod pods;
mod range;
mod rules;
mod traffic;

pub use dial::{DialError, dial};
pub use host::SwitchError;
pub use leases::LeaseError;
pub use link::LinkError;
pub use namespace::NamespaceError;
pub use nft::NftError;
pub use pods::{NetworkError, Options, PodNetwork};
pub use range::{Range, RangeFault};
pub use traffic::{Count, Traffic};
