//! OpenID Connect: tokens of issuers that the administrator trusts.
//!
//! In: a token, the issuers of an `AuthenticationConfiguration`. Out: whom it names, or why it is
//! not believed. [`judge`] is pure; keys are fetched when a token needs them and kept (`keyring.rs`).

pub mod expressions;
pub mod fetch;
pub mod jwk;
pub mod keyring;

use std::cell::OnceCell;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::settings::{Claim, Issuer, Rule, Source};
use crate::clock::seconds;
use crate::identity::Identity;
use crate::outbound::Outbound;
use keyring::Keyring;

/// A token is at most this long; real ones are 1 to 4 KiB.
const MAX_TOKEN: usize = 32 * 1024;
/// `nbf` may be this far ahead: clocks differ.
const LEEWAY: u64 = 300;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcFault {
    /// Not a signed token, or of an issuer that is not trusted.
    #[error("not a token of a trusted issuer")]
    NotOurs,
    /// No key of the issuer fits.
    #[error("oidc: verify token: failed to verify signature")]
    Signature,
    /// The algorithm is not one that is accepted.
    #[error("oidc: verify token: the signing algorithm {0:?} is not accepted")]
    Algorithm(String),
    /// The issuer's keys cannot be had.
    #[error("oidc: the keys of the issuer cannot be fetched: {0}")]
    Keys(String),
    /// A claim forbids it.
    #[error("oidc: {0}")]
    Claim(String),
}

/// The trusted issuers with their keys.
#[derive(Debug, Default)]
pub struct Oidc {
    issuers: Vec<(Issuer, Keyring)>,
}

/// A token taken apart, not checked yet.
#[derive(Debug)]
pub struct Parts<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    key: Option<String>,
    claims: Map<String, Value>,
}

impl Oidc {
    /// Trusts these issuers.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        let with_keys = |issuer: Issuer| {
            let keys = Keyring::new(&issuer);
            (issuer, keys)
        };
        Oidc { issuers: issuers.into_iter().map(with_keys).collect() }
    }

    /// Whom a token names, and which of its audiences are accepted.
    pub async fn identify(
        &self,
        outbound: &Outbound,
        token: &str,
        now: SystemTime,
    ) -> Result<(Identity, Vec<String>), OidcFault> {
        if self.issuers.is_empty() {
            return Err(OidcFault::NotOurs);
        }
        let parts = take_apart(token).ok_or(OidcFault::NotOurs)?;
        let says = parts.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let (issuer, keys) = self.issuers.iter().find(|(i, _)| i.url == says).ok_or(OidcFault::NotOurs)?;
        if !jwk::ALGORITHMS.contains(&parts.algorithm.as_str()) {
            return Err(OidcFault::Algorithm(parts.algorithm));
        }
        let fits = |ring: &[jwk::Key]| {
            ring.iter().any(|k| {
                k.is(parts.key.as_deref()) && k.verify(&parts.algorithm, parts.signed.as_bytes(), &parts.signature)
            })
        };
        // Keys are exchanged by the issuer now and then: a token that fits none may be of a new one.
        if !keys.kept().is_some_and(|ring| fits(&ring)) {
            let fresh = keys.refresh(outbound).await.map_err(|e| OidcFault::Keys(e.to_string()))?;
            if !fits(&fresh) {
                return Err(OidcFault::Signature);
            }
        }
        judge(issuer, &parts.claims, now)
    }
}

pub(crate) fn take_apart(token: &str) -> Option<Parts<'_>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, body) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    let Value::Object(claims) = serde_json::from_slice(&decode(body)?).ok()? else { return None };
    // Extensions that must be understood are not.
    if header.get("crit").is_some() {
        return None;
    }
    Some(Parts {
        signed,
        signature: decode(signature)?,
        algorithm: header["alg"].as_str()?.to_owned(),
        key: header["kid"].as_str().map(str::to_owned),
        claims,
    })
}

/// Whom claims of a good signature name.
pub fn judge(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    now: SystemTime,
) -> Result<(Identity, Vec<String>), OidcFault> {
    let refuse = |why: String| Err(OidcFault::Claim(why));
    let now = seconds(now);
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|t| t.max(0.0) as u64);
    let audiences: Vec<String> = texts(claims.get("aud"));
    let both: Vec<String> = audiences.iter().filter(|a| issuer.audiences.contains(a)).cloned().collect();
    if both.is_empty() {
        let wanted = &issuer.audiences;
        return refuse(format!("verify token: expected audience in {wanted:?} got {audiences:?}"));
    }
    match time("exp") {
        None => return refuse("verify token: the token has no expiry".to_owned()),
        Some(end) if end <= now => return refuse("verify token: oidc: token is expired".to_owned()),
        Some(_) => {}
    }
    if time("nbf").is_some_and(|from| from > now + LEEWAY) {
        return refuse("verify token: the token is not valid yet".to_owned());
    }
    for (claim, wanted) in &issuer.required {
        match claims.get(claim).and_then(Value::as_str) {
            None => return refuse(format!("required claim {claim} not present in ID token")),
            Some(got) if got != wanted => {
                return refuse(format!("required claim {claim} value does not match. Got = {got}, want = {wanted}"));
            }
            Some(_) => {}
        }
    }
    let said = Said { claims, all: OnceCell::new() };
    check(&issuer.rules, "claim validation", said.all())?;
    let mut identity = Identity::user(said.username(&issuer.username)?, [""; 0]);
    if let Some(source) = &issuer.groups {
        identity.groups.splice(0..0, said.groups(source)?);
    }
    if let Some(source) = &issuer.uid {
        identity.uid = said.uid(source)?;
    }
    for (key, expression) in &issuer.extra {
        let values = expression.several(said.all()).map_err(|why| told("claimMappings.extra", &why))?;
        if !values.is_empty() {
            identity.extra.insert(key.clone(), values);
        }
    }
    if !issuer.user_rules.is_empty() {
        let user = json!({"username": identity.name, "uid": identity.uid, "groups": identity.groups,
            "extra": identity.extra});
        check(&issuer.user_rules, "user validation", &user)?;
    }
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        identity.extra.insert(key, vec![format!("JTI={id}")]);
    }
    Ok((identity, both))
}

fn told(what: &str, why: &str) -> OidcFault {
    OidcFault::Claim(format!("error evaluating {what} expression: {why}"))
}

/// What must hold does.
fn check(rules: &[Rule], what: &str, about: &Value) -> Result<(), OidcFault> {
    for Rule { expression, message } in rules {
        if !expression.holds(about).map_err(|why| told(what, &why))? {
            let why = format!("validation expression '{}' failed: {message}", expression.text());
            return Err(told(what, &why));
        }
    }
    Ok(())
}

/// What a token says.
struct Said<'a> {
    claims: &'a Map<String, Value>,
    /// The same as one value, for expressions.
    all: OnceCell<Value>,
}

impl Said<'_> {
    fn all(&self) -> &Value {
        self.all.get_or_init(|| Value::Object(self.claims.clone()))
    }

    fn username(&self, source: &Source) -> Result<String, OidcFault> {
        let refuse = |why: String| Err(OidcFault::Claim(why));
        match source {
            Source::Claim(Claim { claim, prefix }) => {
                let Some(name) = self.claims.get(claim).and_then(Value::as_str).filter(|n| !n.is_empty()) else {
                    return refuse(format!("parse username claims {claim:?}: claim not present"));
                };
                if claim == "email" && self.claims.get("email_verified").is_some_and(|v| v != true) {
                    return refuse("email not verified".to_owned());
                }
                Ok(format!("{prefix}{name}"))
            }
            Source::Expression(expression) => {
                let name = expression.one(self.all()).map_err(|why| told("username claim", &why))?;
                match name.filter(|name| !name.is_empty()) {
                    Some(name) => Ok(name),
                    None => refuse(format!("username claim expression '{}' names nobody", expression.text())),
                }
            }
        }
    }

    fn groups(&self, source: &Source) -> Result<Vec<String>, OidcFault> {
        match source {
            Source::Claim(Claim { claim, prefix }) => match groups(self.claims.get(claim)) {
                Some(groups) => Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect()),
                None => {
                    let why = "neither a string nor a list of strings";
                    Err(OidcFault::Claim(format!("parse groups claim {claim:?}: {why}")))
                }
            },
            Source::Expression(expression) => expression.several(self.all()).map_err(|why| told("group claim", &why)),
        }
    }

    fn uid(&self, source: &Source) -> Result<String, OidcFault> {
        match source {
            Source::Claim(Claim { claim, .. }) => match self.claims.get(claim) {
                None | Some(Value::Null) => Ok(String::new()),
                Some(Value::String(uid)) => Ok(uid.clone()),
                Some(_) => Err(OidcFault::Claim(format!("parse uid claim {claim:?}: not a string"))),
            },
            Source::Expression(expression) => {
                let uid = expression.one(self.all()).map_err(|why| told("uid claim", &why))?;
                Ok(uid.unwrap_or_default())
            }
        }
    }
}

/// The groups that a claim names; `None` if it is something else.
fn groups(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(many)) => many.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}

/// A string, or the strings of a list.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::expressions::{Expression, Over, Wanted};
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: u64 = 1_700_000_000;

    fn claim(claim: &str, prefix: &str) -> Source {
        Source::Claim(Claim { claim: claim.into(), prefix: prefix.into() })
    }

    fn issuer() -> Issuer {
        Issuer {
            url: "https://login".into(),
            audiences: vec!["kedge".into()],
            username: claim("sub", "oidc:"),
            groups: Some(claim("groups", "oidc:")),
            uid: Some(claim("uid", "")),
            required: vec![("hd".into(), "example.com".into())],
            ..Issuer::default()
        }
    }

    /// `change` is merged into good claims.
    #[track_caller]
    fn check(change: Value, expected: &str) {
        let mut claims = json!({"iss": "https://login", "aud": "kedge", "exp": NOW + 60, "sub": "jane",
            "groups": ["dev", "ops"], "hd": "example.com", "uid": "7"});
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        let seen = match judge(&issuer(), claims.as_object().unwrap(), UNIX_EPOCH + Duration::from_secs(NOW)) {
            Ok((who, audiences)) => {
                format!("{} {} {} {}", who.name, who.uid, who.groups.join("+"), audiences.join("+"))
            }
            Err(fault) => fault.to_string(),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn claims_name_somebody_or_are_refused() {
        check(json!({}), "oidc:jane 7 oidc:dev+oidc:ops+system:authenticated kedge");
        check(json!({"groups": "one", "aud": ["x", "kedge"]}), "oidc:jane 7 oidc:one+system:authenticated kedge");
        check(json!({"exp": NOW}), "oidc: verify token: oidc: token is expired");
        check(json!({"exp": null}), "oidc: verify token: the token has no expiry");
        check(json!({"nbf": NOW + 3600}), "oidc: verify token: the token is not valid yet");
        check(json!({"aud": "other"}), "oidc: verify token: expected audience in [\"kedge\"] got [\"other\"]");
        check(
            json!({"hd": "evil.com"}),
            "oidc: required claim hd value does not match. Got = evil.com, want = example.com",
        );
        check(json!({"hd": null}), "oidc: required claim hd not present in ID token");
        check(json!({"sub": 7}), "oidc: parse username claims \"sub\": claim not present");
        check(json!({"sub": ""}), "oidc: parse username claims \"sub\": claim not present");
        check(json!({"groups": null, "uid": null}), "oidc:jane  system:authenticated kedge");
        let neither = "oidc: parse groups claim \"groups\": neither a string nor a list of strings";
        check(json!({"groups": ["dev", 7]}), neither);
        check(json!({"groups": {"dev": true}}), neither);
        check(json!({"uid": 7}), "oidc: parse uid claim \"uid\": not a string");
    }

    #[test]
    fn expressions_name_and_judge() {
        let over = |text: &str, wanted| Expression::compile(text, Over::Claims, wanted).unwrap();
        let rule = |over, text: &str| Rule {
            expression: Expression::compile(text, over, Wanted::Truth).unwrap(),
            message: "no".to_owned(),
        };
        let issuer = Issuer {
            username: Source::Expression(over("'x:' + claims.sub", Wanted::Text)),
            groups: Some(Source::Expression(over("claims.roles.split(',')", Wanted::Texts))),
            uid: Some(Source::Expression(over("claims.oid", Wanted::Text))),
            extra: vec![("acme.io/team".to_owned(), over("claims.team", Wanted::Texts))],
            rules: vec![rule(Over::Claims, "claims.hd == 'example.com'")],
            user_rules: vec![rule(Over::User, "!user.username.startsWith('x:system:')")],
            required: Vec::new(),
            ..issuer()
        };
        let judged = |change: Value| {
            let mut claims = json!({"aud": "kedge", "exp": NOW + 60, "sub": "jane", "roles": "dev,ops", "oid": "7",
                "team": "red", "hd": "example.com"});
            for (key, value) in change.as_object().unwrap() {
                claims[key] = value.clone();
            }
            judge(&issuer, claims.as_object().unwrap(), UNIX_EPOCH + Duration::from_secs(NOW)).map(|(who, _)| who)
        };
        let who = judged(json!({})).unwrap();
        assert_eq!((&*who.name, &*who.uid), ("x:jane", "7"));
        assert_eq!(who.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(who.extra["acme.io/team"], ["red"]);
        let refused = |change: Value, words: &str| {
            let why = judged(change).unwrap_err().to_string();
            assert!(why.contains(words), "{why}");
        };
        refused(json!({"hd": "evil"}), "validation expression 'claims.hd == 'example.com'' failed: no");
        refused(json!({"sub": "system:admin"}), "error evaluating user validation expression: validation");
        refused(json!({"sub": 7}), "error evaluating username claim expression");
        refused(json!({"oid": 7}), "error evaluating uid claim expression");
        refused(json!({"roles": 7}), "error evaluating group claim expression");
    }

    #[test]
    fn an_address_that_was_not_verified_names_nobody() {
        let issuer = Issuer { username: claim("email", ""), ..issuer() };
        let claims =
            json!({"aud": "kedge", "exp": NOW + 60, "hd": "example.com", "email": "a@b.c", "email_verified": false});
        let seen = judge(&issuer, claims.as_object().unwrap(), UNIX_EPOCH + Duration::from_secs(NOW));
        assert_eq!(seen.unwrap_err().to_string(), "oidc: email not verified");
    }

    #[test]
    fn nonsense_comes_apart_into_nothing() {
        let deep = URL_SAFE_NO_PAD.encode("[".repeat(10_000));
        let critical = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","crit":["b64"]}"#);
        for text in ["", "a.b", "a.b.c", "e30.e30.", &format!("{deep}.{deep}.x"), &format!("{critical}.e30.AA")] {
            assert!(take_apart(text).is_none(), "{text:.40}");
        }
    }
}
