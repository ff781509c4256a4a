//! `AuthenticationConfiguration` of `apiserver.config.k8s.io`: which issuers are trusted, and where nobody in particular
//! is let in.
//!
//! In: the text of the file. Out: issuers, with expressions compiled; or the field that cannot work, and why. Never
//! fetches anything.

use std::path::Path;

use serde::Deserialize;

use super::oidc::expressions::{Expression, Over, Wanted};
use super::settings::{Anonymous, Claim, Issuer, Rule, SettingsFault, Source, certificates};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AnonymousFile {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jwt {
    issuer: IssuerFile,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRule>,
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<UserRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssuerFile {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    audiences: Vec<String>,
    audience_match_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ClaimRule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRule {
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mappings {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    #[serde(default)]
    extra: Vec<ExtraFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    #[serde(default)]
    claim: String,
    prefix: Option<String>,
    #[serde(default)]
    expression: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExtraFile {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value_expression: String,
}

/// A field, and why it cannot work.
type Refused = (String, String);

/// Reads an `AuthenticationConfiguration`.
pub fn read(path: &Path, text: &str) -> Result<(Vec<Issuer>, Option<Anonymous>), SettingsFault> {
    let file: File =
        serde_yaml::from_str(text).map_err(|source| SettingsFault::Parse { path: path.to_owned(), source })?;
    let fault = |(field, why)| SettingsFault::Value { path: path.to_owned(), field, why };
    let known = ["v1", "v1beta1"].iter().any(|v| file.api_version == format!("apiserver.config.k8s.io/{v}"));
    if !known || file.kind != "AuthenticationConfiguration" {
        let why = "must be AuthenticationConfiguration of apiserver.config.k8s.io/v1";
        return Err(fault(("kind".to_owned(), why.to_owned())));
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for (at, jwt) in file.jwt.into_iter().enumerate() {
        let read = issuer(jwt, &issuers).map_err(|(field, why)| fault((format!("jwt[{at}].{field}"), why)))?;
        issuers.push(read);
    }
    let anonymous = file.anonymous.map(|a| match (a.enabled, a.conditions) {
        (false, _) => Anonymous::Never,
        (true, conditions) if conditions.is_empty() => Anonymous::Everywhere,
        (true, conditions) => Anonymous::On(conditions.into_iter().map(|c| c.path).collect()),
    });
    Ok((issuers, anonymous))
}

fn refused<T>(field: impl Into<String>, why: impl Into<String>) -> Result<T, Refused> {
    Err((field.into(), why.into()))
}

fn issuer(jwt: Jwt, known: &[Issuer]) -> Result<Issuer, Refused> {
    let issuer = &jwt.issuer;
    for (field, url) in [("url", Some(&issuer.url)), ("discoveryURL", issuer.discovery_url.as_ref())] {
        if url.is_some_and(|u| !u.starts_with("https://")) {
            return refused(format!("issuer.{field}"), "must be an https URL");
        }
    }
    if known.iter().any(|known| known.url == issuer.url) {
        return refused("issuer.url", "was given before");
    }
    if issuer.url == super::token::ISSUER {
        return refused("issuer.url", "is the issuer of service account tokens");
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        return refused("issuer.audiences", "at least one is required, and none may be empty");
    }
    match issuer.audience_match_policy.as_deref() {
        None | Some("") if issuer.audiences.len() > 1 => {
            return refused("issuer.audienceMatchPolicy", "must be MatchAny for multiple audiences");
        }
        None | Some("" | "MatchAny") => {}
        Some(_) => return refused("issuer.audienceMatchPolicy", "must be MatchAny"),
    }
    if let Some(pem) = &issuer.certificate_authority {
        certificates(pem).map_err(|why| ("issuer.certificateAuthority".to_owned(), why))?;
    }
    verified(&jwt)?;
    let (mut required, mut rules) = (Vec::new(), Vec::new());
    for (at, rule) in jwt.claim_validation_rules.into_iter().enumerate() {
        let field = format!("claimValidationRules[{at}]");
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (true, true) => return refused(field, "claim or expression is required"),
            (false, false) => return refused(field, "claim and expression can't both be set"),
            (false, true) => required.push((rule.claim, rule.required_value)),
            (true, false) => {
                rules.push(Rule {
                    expression: compiled(&field, &rule.expression, Over::Claims, Wanted::Truth)?,
                    message: rule.message,
                });
            }
        }
    }
    let mut user_rules = Vec::new();
    for (at, rule) in jwt.user_validation_rules.into_iter().enumerate() {
        let field = format!("userValidationRules[{at}]");
        if rule.expression.is_empty() {
            return refused(field, "expression is required");
        }
        let expression = compiled(&field, &rule.expression, Over::User, Wanted::Truth)?;
        user_rules.push(Rule { expression, message: rule.message });
    }
    let mappings = jwt.claim_mappings;
    let Some(username) = source("claimMappings.username", mappings.username, Wanted::Text, true)? else {
        return refused("claimMappings.username", "claim or expression is required");
    };
    let optional = |field: &str, mapping: Option<Mapping>, wanted, prefixed| match mapping {
        Some(mapping) => source(field, mapping, wanted, prefixed),
        None => Ok(None),
    };
    Ok(Issuer {
        username,
        groups: optional("claimMappings.groups", mappings.groups, Wanted::Texts, true)?,
        uid: optional("claimMappings.uid", mappings.uid, Wanted::Text, false)?,
        extra: extra(mappings.extra)?,
        required,
        rules,
        user_rules,
        url: jwt.issuer.url,
        discovery: jwt.issuer.discovery_url,
        authority: jwt.issuer.certificate_authority,
        audiences: jwt.issuer.audiences,
    })
}

fn compiled(field: &str, text: &str, over: Over, wanted: Wanted) -> Result<Expression, Refused> {
    Expression::compile(text, over, wanted).map_err(|why| (format!("{field}.expression"), why))
}

/// Where something of a user is said, if that is set.
fn source(field: &str, mapping: Mapping, wanted: Wanted, prefixed: bool) -> Result<Option<Source>, Refused> {
    match (mapping.claim.is_empty(), mapping.expression.is_empty(), mapping.prefix) {
        (true, true, None) => Ok(None),
        (true, true, Some(_)) => refused(field, "claim is required where prefix is set"),
        (false, false, _) => refused(field, "claim and expression can't both be set"),
        (true, false, Some(_)) => refused(field, "prefix can't be set when expression is set"),
        (true, false, None) => {
            compiled(field, &mapping.expression, Over::Claims, wanted).map(|it| Some(Source::Expression(it)))
        }
        (false, true, Some(_)) if !prefixed => refused(field, "has no prefix"),
        (false, true, None) if prefixed => refused(field, "prefix is required; \"\" for none"),
        (false, true, prefix) => {
            Ok(Some(Source::Claim(Claim { claim: mapping.claim, prefix: prefix.unwrap_or_default() })))
        }
    }
}

fn extra(all: Vec<ExtraFile>) -> Result<Vec<(String, Expression)>, Refused> {
    let mut read: Vec<(String, Expression)> = Vec::new();
    for (at, one) in all.into_iter().enumerate() {
        let field = |name: &str| format!("claimMappings.extra[{at}].{name}");
        let domain = one.key.split_once('/').filter(|(_, path)| !path.is_empty()).map(|(domain, _)| domain);
        let ours = |domain: &str| {
            ["kubernetes.io", "k8s.io"].iter().any(|own| domain == *own || domain.ends_with(&format!(".{own}")))
        };
        match domain {
            Some(domain) if kedge_api::name::check_subdomain(domain).is_err() => {
                return refused(field("key"), "must be a domain-prefixed path, as in acme.io/foo");
            }
            None => return refused(field("key"), "must be a domain-prefixed path, as in acme.io/foo"),
            Some(domain) if ours(domain) => {
                return refused(field("key"), "kubernetes.io, k8s.io and what is below them are reserved");
            }
            Some(_) if one.key != one.key.to_lowercase() => return refused(field("key"), "must be lowercase"),
            Some(_) if read.iter().any(|(key, _)| *key == one.key) => return refused(field("key"), "was given before"),
            Some(_) => {}
        }
        if one.value_expression.is_empty() {
            return refused(field("valueExpression"), "is required");
        }
        let expression = Expression::compile(&one.value_expression, Over::Claims, Wanted::Texts)
            .map_err(|why| (field("valueExpression"), why))?;
        read.push((one.key, expression));
    }
    Ok(read)
}

/// Whoever takes an address for a name says whether it must be verified.
fn verified(jwt: &Jwt) -> Result<(), Refused> {
    let says = |text: &str, claim: &str| {
        text.match_indices(claim).any(|(at, _)| {
            let next = text[at + claim.len()..].chars().next();
            !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let name = &jwt.claim_mappings.username.expression;
    let rules = jwt.claim_validation_rules.iter().map(|rule| &rule.expression);
    let others = jwt.claim_mappings.extra.iter().map(|one| &one.value_expression).chain(rules);
    if !says(name, "claims.email") || others.chain([name]).any(|text| says(text, "claims.email_verified")) {
        return Ok(());
    }
    refused(
        "claimMappings.username.expression",
        "claims.email_verified must be used in claimMappings.username.expression or \
         claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in \
         claimMappings.username.expression",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let seen = match read(Path::new("a.yaml"), &format!("{HEAD}{text}")) {
            Ok((issuers, anonymous)) => {
                let named: Vec<&str> = issuers.iter().map(|i| i.url.as_str()).collect();
                format!("{} {anonymous:?}", named.join("+"))
            }
            Err(SettingsFault::Parse { source, .. }) => source.to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(seen.contains(expected), "{seen:?} does not say {expected:?}");
    }

    fn jwt(issuer: &str, rest: &str) -> String {
        format!(
            "jwt:\n- issuer: {{url: \"https://a\", audiences: [x]{issuer}}}\n  claimMappings: {{username: {{claim: sub, prefix: \"\"}}}}\n{rest}"
        )
    }

    fn mapped(mappings: &str) -> String {
        format!("jwt:\n- issuer: {{url: \"https://a\", audiences: [x]}}\n  claimMappings: {{{mappings}}}\n")
    }

    #[test]
    fn issuers_are_read_or_refused_by_field() {
        check(&jwt("", ""), "https://a None");
        check("", " None");
        check("anonymous: {enabled: true, conditions: [{path: /livez}]}", "On([\"/livez\"])");
        check("anonymous: {enabled: false}", "Never");
        check(&jwt(", audience: y", ""), "unknown field");
        let garbage = "jwt[0].issuer.certificateAuthority: holds no certificate";
        check(&jwt(", certificateAuthority: garbage", ""), garbage);
        check(&jwt(", discoveryURL: \"http://b\"", ""), "jwt[0].issuer.discoveryURL: must be an https URL");
        check(&jwt("", "  claimValidationRules: [{claim: hd, requiredValue: x}]"), "https://a");
        check(
            "jwt: [{issuer: {url: \"https://a\", audiences: []}, claimMappings: {username: {claim: a, prefix: b}}}]",
            "audiences",
        );
        check(
            "jwt: [{issuer: {url: \"https://a\", audiences: [a]}, claimMappings: {username: {claim: a}}}]",
            "prefix is required",
        );
    }

    #[test]
    fn expressions_are_compiled_or_refused_by_field() {
        check(&jwt("", "  userValidationRules: [{expression: \"user.username != 'root'\"}]"), "https://a");
        check(
            &jwt("", "  userValidationRules: [{message: no}]"),
            "jwt[0].userValidationRules[0]: expression is required",
        );
        check(
            &jwt("", "  userValidationRules: [{expression: \"claims.a\"}]"),
            "userValidationRules[0].expression: comp",
        );
        check(&jwt("", "  claimValidationRules: [{expression: \"claims.hd == 'x'\"}]"), "https://a");
        check(
            &jwt("", "  claimValidationRules: [{expression: \"'x'\"}]"),
            "claimValidationRules[0].expression: must eval",
        );
        check(&jwt("", "  claimValidationRules: [{claim: a, expression: \"true\"}]"), "can't both be set");
        check(&jwt("", "  claimValidationRules: [{}]"), "claim or expression is required");
        check(&mapped("username: {expression: \"'u:' + claims.sub\"}"), "https://a");
        check(&mapped("username: {expression: \"claims.sub\", prefix: \"\"}"), "prefix can't be set");
        check(&mapped("username: {}"), "claimMappings.username: claim or expression is required");
        check(&mapped("username: {expression: \"claims.email\"}"), "claims.email_verified must be used");
        check(&mapped("username: {expression: \"claims.email_verified ? claims.email : ''\"}"), "https://a");
        check(&mapped("username: {expression: \"claims.emails[0]\"}"), "https://a");
        let extra = |rest: &str| mapped(&format!("username: {{claim: s, prefix: a}}, extra: [{rest}]"));
        check(&extra("{key: acme.io/a, valueExpression: \"claims.a\"}"), "https://a");
        check(&extra("{key: acme, valueExpression: \"claims.a\"}"), "extra[0].key: must be a domain-prefixed path");
        check(&extra("{key: x.k8s.io/a, valueExpression: \"claims.a\"}"), "reserved");
        check(&extra("{key: acme.io/A, valueExpression: \"claims.a\"}"), "must be lowercase");
        check(&extra("{key: acme.io/a}"), "extra[0].valueExpression: is required");
        let one = "{key: acme.io/a, valueExpression: \"claims.a\"}";
        check(&extra(&format!("{one}, {one}")), "extra[1].key: was given before");
    }
}
