//! Who this server is to the servers behind it: the front proxy, whose word about users they take.
//!
//! In: a directory for its own authority. Out: a client certificate, renewed when its time has
//! come. The authority is not the device's: whoever holds one of the device's certificates must
//! not be able to speak in others' names.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::clock::Clock;
use crate::tls::authority::{Authority, AuthorityError, Issued};
use crate::tls::renewal::LEAF_LIFETIME;

/// The name in the certificate, which the servers behind look for.
pub const NAME: &str = "front-proxy-client";
/// The folder of the authority, below that of the device's.
const FOLDER: &str = "front-proxy";
/// The authority's name.
const AUTHORITY: &str = "kedge-front-proxy-ca";

/// See the module.
pub struct FrontProxy {
    authority: Authority,
    clock: Clock,
    issued: Mutex<Option<Issued>>,
}

impl std::fmt::Debug for FrontProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrontProxy")
    }
}

impl FrontProxy {
    /// Loads the authority below `pki`, or makes it.
    pub fn open(pki: &Path, clock: Clock) -> Result<Self, AuthorityError> {
        let authority = Authority::open_as(&pki.join(FOLDER), AUTHORITY, clock.now())?;
        Ok(FrontProxy { authority, clock, issued: Mutex::default() })
    }

    /// What the servers behind trust, as PEM.
    pub fn authority_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// The certificate and its key, as PEM.
    pub fn certificate(&self) -> Result<(String, String), AuthorityError> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if issued.as_ref().is_none_or(|issued| issued.validity.needs_renewal(now)) {
            *issued = Some(self.authority.issue_client(NAME, None, now, LEAF_LIFETIME)?);
        }
        Ok(issued.as_ref().map(|i| (i.certificate_pem.clone(), i.key_pem.clone())).unwrap_or_default())
    }
}
