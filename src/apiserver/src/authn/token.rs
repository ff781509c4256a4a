//! Service-account tokens: JSON Web Tokens signed with ES256.
//!
//! In: a key pair, claims, the time. Out: tokens, and claims that were signed by us, are in date
//! and for us. Never looks up whether account, pod or node still exist: the caller does.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::legacy::LegacyClaims;
use crate::clock::seconds;
use crate::tls::authority::{AuthorityError, write_private};

/// Who issues the tokens, and for whom they are unless something else is asked for.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// A token is at most this long; ours are about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;
/// Clocks of devices may differ by this much.
const LEEWAY: u64 = 60;

/// An object a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its uid; another object of the same name does not count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// Kubernetes' own part of the claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesClaims {
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub serviceaccount: Bound,
    /// The pod it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Bound>,
    /// The secret it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Bound>,
    /// The node it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Bound>,
    /// After this its holder should have taken a new one; it still counts until `exp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<u64>,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it is for.
    pub aud: Vec<String>,
    /// Until when.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// Who issued it.
    pub iss: String,
    /// Its own name.
    pub jti: String,
    /// The account.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
    /// From when.
    pub nbf: u64,
    /// The user it names.
    pub sub: String,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not one of ours; another authenticator may know it.
    #[error("not a token of this issuer")]
    NotOurs,
    /// The signature does not fit.
    #[error("invalid signature")]
    Signature,
    /// Too late.
    #[error("service account token has expired")]
    Expired,
    /// Too early.
    #[error("service account token is not valid yet")]
    NotYet,
    /// For somebody else.
    #[error("token audiences are not for this server")]
    Audience,
}

/// Signs and checks tokens.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
    /// Digests of tokens whose signature was found good, oldest first.
    good: Mutex<VecDeque<[u8; 32]>>,
}

/// Good signatures remembered: one for each pod of a full node, and some. 8 KB.
const GOOD: usize = 256;

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl TokenKey {
    /// Loads `sa.key` of the directory, or makes it.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let path = dir.join("sa.key");
        if !path.exists() {
            write_private(&path, &rcgen::KeyPair::generate()?.serialize_pem())?;
        }
        let text = std::fs::read_to_string(&path).map_err(|source| AuthorityError::File {
            act: "read",
            path: path.clone(),
            source,
        })?;
        TokenKey::of(&text).map_err(|why| AuthorityError::Damaged { path, why })
    }

    /// The key of a PEM, or why it is none.
    pub(crate) fn of(pem: &str) -> Result<Self, String> {
        let key = rcgen::KeyPair::from_pem(pem).map_err(|e| e.to_string())?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der(), &random)
            .map_err(|e| e.to_string())?;
        let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
        Ok(TokenKey { pair, random, id: URL_SAFE_NO_PAD.encode(digest), good: Mutex::default() })
    }

    /// The token that says these claims.
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"}).to_string();
        // Claims are strings and numbers: they always serialize.
        let body = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        if let Ok(signature) = self.pair.sign(&self.random, token.as_bytes()) {
            token.push('.');
            token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        }
        token
    }

    /// What a token says, if it is ours and in date, for one of `audiences`.
    pub fn check(&self, token: &str, audiences: &[&str], now: SystemTime) -> Result<Claims, TokenFault> {
        let body = self.body(token)?;
        let claims: Claims = serde_json::from_slice(&body).map_err(|_| TokenFault::NotOurs)?;
        if claims.iss != ISSUER {
            return Err(TokenFault::NotOurs);
        }
        self.verify(token)?;
        let now = seconds(now);
        if claims.exp.saturating_add(LEEWAY) <= now {
            return Err(TokenFault::Expired);
        }
        if claims.nbf > now.saturating_add(LEEWAY) {
            return Err(TokenFault::NotYet);
        }
        if !claims.aud.iter().any(|a| audiences.contains(&a.as_str())) {
            return Err(TokenFault::Audience);
        }
        Ok(claims)
    }

    /// What a token of a Secret says, if it is ours.
    pub fn check_legacy(&self, token: &str) -> Result<LegacyClaims, TokenFault> {
        let body = self.body(token)?;
        let claims: LegacyClaims = serde_json::from_slice(&body).map_err(|_| TokenFault::NotOurs)?;
        if claims.iss != super::legacy::ISSUER {
            return Err(TokenFault::NotOurs);
        }
        self.verify(token)?;
        Ok(claims)
    }

    /// The claims of a token that says it is signed as ours are; not checked yet.
    fn body(&self, token: &str) -> Result<Vec<u8>, TokenFault> {
        if token.len() > MAX_TOKEN {
            return Err(TokenFault::NotOurs);
        }
        let (signed, _) = token.rsplit_once('.').ok_or(TokenFault::NotOurs)?;
        let (header, body) = signed.split_once('.').ok_or(TokenFault::NotOurs)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::NotOurs);
        let header: Value = serde_json::from_slice(&decode(header)?).map_err(|_| TokenFault::NotOurs)?;
        if header["alg"] != "ES256" {
            return Err(TokenFault::NotOurs);
        }
        decode(body)
    }

    /// Checks the signature, unless it was found good before: that costs thirty times the digest.
    fn verify(&self, token: &str) -> Result<(), TokenFault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::NotOurs)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenFault::NotOurs)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let mut seen = [0u8; 32];
        seen.copy_from_slice(digest.as_ref());
        let good = || self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good().contains(&seen) {
            return Ok(());
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| TokenFault::Signature)?;
        let mut good = good();
        good.push_back(seen);
        if good.len() > GOOD {
            good.pop_front();
        }
        Ok(())
    }

    /// The key set of `/openid/v1/jwks`.
    pub fn key_set(&self) -> Value {
        // An uncompressed point: 4, then 32 bytes each of x and y.
        let point = self.pair.public_key().as_ref();
        let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or(&[]));
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(1..33), "y": coordinate(33..65),
        }]})
    }
}

/// What a token is asked to say.
#[derive(Debug, Clone, Default)]
pub struct TokenOrder {
    /// Whom it is for; empty for this server.
    pub audiences: Vec<String>,
    /// How long.
    pub lifetime: Duration,
    /// How long its holder keeps it before taking a new one, if that is shorter.
    pub warn_after: Option<Duration>,
    /// The pod it is bound to.
    pub pod: Option<Bound>,
    /// The secret it is bound to.
    pub secret: Option<Bound>,
    /// The node it is bound to.
    pub node: Option<Bound>,
}

/// The claims of a token for a service account.
pub fn claims(namespace: &str, account: Bound, order: TokenOrder, id: String, now: SystemTime) -> Claims {
    let issued = seconds(now);
    Claims {
        aud: if order.audiences.is_empty() { vec![ISSUER.to_owned()] } else { order.audiences },
        exp: issued + order.lifetime.as_secs(),
        iat: issued,
        iss: ISSUER.to_owned(),
        jti: id,
        nbf: issued,
        sub: format!("system:serviceaccount:{namespace}:{}", account.name),
        kubernetes: KubernetesClaims {
            namespace: namespace.to_owned(),
            serviceaccount: account,
            pod: order.pod,
            secret: order.secret,
            node: order.node,
            warnafter: order.warn_after.map(|after| issued + after.as_secs()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn token(key: &TokenKey) -> String {
        let account = Bound { name: "bot".into(), uid: "u1".into() };
        let order = TokenOrder { lifetime: Duration::from_secs(3600), ..TokenOrder::default() };
        key.sign(&claims("ns", account, order, "id".into(), at(NOW)))
    }

    #[track_caller]
    fn check(now: u64, audience: &str, expected: Result<&str, TokenFault>) {
        let dir = tempfile::tempdir().unwrap();
        let key = TokenKey::open(dir.path()).unwrap();
        let seen = key.check(&token(&key), &[audience], at(now));
        assert_eq!(seen.map(|c| c.sub), expected.map(str::to_owned));
    }

    #[test]
    fn a_token_holds_for_its_time_and_audience() {
        check(NOW, ISSUER, Ok("system:serviceaccount:ns:bot"));
        check(NOW + 3599, ISSUER, Ok("system:serviceaccount:ns:bot"));
        check(NOW + 3700, ISSUER, Err(TokenFault::Expired));
        check(NOW - 120, ISSUER, Err(TokenFault::NotYet));
        check(NOW, "vault", Err(TokenFault::Audience));
    }

    #[test]
    fn a_changed_or_foreign_token_is_refused() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = TokenKey::open(dir.path()).unwrap();
        let stranger = TokenKey::open(other.path()).unwrap();
        let foreign = token(&stranger);
        assert_eq!(key.check(&foreign, &[ISSUER], at(NOW)), Err(TokenFault::Signature));
        let mine = token(&key);
        assert!(key.check(&mine, &[ISSUER], at(NOW)).is_ok());
        assert!(key.check(&mine, &[ISSUER], at(NOW)).is_ok());
        assert_eq!(key.check(&mine, &[ISSUER], at(NOW + 7200)), Err(TokenFault::Expired));
        let mut parts: Vec<String> = mine.split('.').map(str::to_owned).collect();
        let body = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
        parts[1] = URL_SAFE_NO_PAD.encode(body.replace("bot", "boss"));
        assert_eq!(key.check(&parts.join("."), &[ISSUER], at(NOW)), Err(TokenFault::Signature));
        for nonsense in ["", "a", "a.b", "a.b.c", "....", "eyJhbGciOiJub25lIn0.e30."] {
            assert_eq!(key.check(nonsense, &[ISSUER], at(NOW)), Err(TokenFault::NotOurs), "{nonsense}");
        }
    }

    #[test]
    fn the_key_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let token = token(&TokenKey::open(dir.path()).unwrap());
        assert!(TokenKey::open(dir.path()).unwrap().check(&token, &[ISSUER], at(NOW)).is_ok());
    }
}
