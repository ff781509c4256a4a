//! Which versions are served beside those that Kubernetes serves unasked: what `--runtime-config` says to it.
//!
//! In: keys in Kubernetes' words, each with true or false. Out: the kinds, or a sentence on the key that means nothing.
//! What is generally available is always served, because the device itself lives of it.

use std::collections::BTreeMap;

use super::{Kind, Kinds, join_api_version, table};

/// Keys that speak of many versions at once.
const ALL: &str = "api/all";
const GA: &str = "api/ga";
const BETA: &str = "api/beta";
const ALPHA: &str = "api/alpha";

/// What is served that would not be, or is not that would be. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen(BTreeMap<String, bool>);

impl Chosen {
    /// From keys such as `api/all`, `api/beta`, `resource.k8s.io/v1alpha3` and
    /// `resource.k8s.io/v1alpha3/devicetaintrules`.
    pub fn parse(said: BTreeMap<String, bool>) -> Result<Chosen, String> {
        for (key, wanted) in &said {
            check(key, *wanted)?;
        }
        Ok(Chosen(said))
    }

    /// The narrowest word on a kind counts.
    fn wants(&self, kind: &Kind) -> bool {
        if self.0.is_empty() || is_stable(&kind.version) {
            return kind.served_by_default();
        }
        let version = join_api_version(&kind.group, &kind.version);
        let level = if kind.version.contains("alpha") { ALPHA } else { BETA };
        [&*format!("{version}/{}", kind.plural), &version, level, ALL]
            .iter()
            .find_map(|key| self.0.get(*key))
            .copied()
            .unwrap_or_else(|| kind.served_by_default())
    }
}

impl Kinds {
    /// The built-in kinds that upstream serves by default, changed by what was chosen.
    pub fn chosen(chosen: &Chosen) -> Kinds {
        Kinds::of_rows(|kind| chosen.wants(kind))
    }
}

fn is_stable(version: &str) -> bool {
    !version.contains("alpha") && !version.contains("beta")
}

fn check(key: &str, wanted: bool) -> Result<(), String> {
    let always =
        || format!("{key:?}: what is generally available cannot be turned off, because the device lives of it");
    match key {
        ALL | GA if !wanted => return Err(always()),
        ALL | GA | BETA | ALPHA => return Ok(()),
        _ => {}
    }
    // `v1` and `v1/pods`, or group, version and perhaps a resource.
    let is_core = key.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let (group, rest) = if is_core { ("", key) } else { key.split_once('/').unwrap_or((key, "")) };
    let (version, plural) = rest.split_once('/').map_or((rest, None), |(version, plural)| (version, Some(plural)));
    let of_group: Vec<_> = table::ROWS.iter().filter(|row| row.group == group).collect();
    let of_version: Vec<_> = of_group.iter().filter(|row| row.version == version).collect();
    let listed = |words: &mut Vec<&str>| {
        words.sort_unstable();
        words.dedup();
        words.join(", ")
    };
    if of_version.is_empty() {
        let mut known: Vec<&str> = of_group.iter().map(|row| row.version).collect();
        let of_what = if group.is_empty() { "the core group" } else { group };
        return Err(match known.is_empty() {
            true => format!(
                "{key:?}: there is no such group; write {ALL}, {BETA}, {ALPHA}, GROUP/VERSION or GROUP/VERSION/RESOURCE"
            ),
            false => format!("{key:?}: there is no such version; {} has {}", of_what, listed(&mut known)),
        });
    }
    if let Some(plural) = plural
        && !of_version.iter().any(|row| row.plural == plural)
    {
        let mut known = of_version.iter().map(|row| row.plural).collect();
        return Err(format!("{key:?}: there is no such resource; that version has {}", listed(&mut known)));
    }
    if !wanted && is_stable(version) {
        return Err(always());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Gvk;

    fn parse(said: &[(&str, bool)]) -> Result<Chosen, String> {
        Chosen::parse(said.iter().map(|(key, wanted)| (key.to_string(), *wanted)).collect())
    }

    /// Which of these kinds are served.
    #[track_caller]
    fn check(said: &[(&str, bool)], served: &[&str], not: &[&str]) {
        let kinds = Kinds::chosen(&parse(said).unwrap());
        let has = |text: &str| {
            let (version, name) = text.rsplit_once('/').unwrap();
            kinds.by_gvk(&Gvk::from_api_version(version, name)).is_some()
        };
        served.iter().for_each(|kind| assert!(has(kind), "{kind} is not served"));
        not.iter().for_each(|kind| assert!(!has(kind), "{kind} is served"));
    }

    #[test]
    fn the_narrowest_word_counts() {
        let (migration, taint) =
            ("storagemigration.k8s.io/v1beta1/StorageVersionMigration", "resource.k8s.io/v1alpha3/DeviceTaintRule");
        let (pool, pod) = ("resource.k8s.io/v1alpha3/ResourcePoolStatusRequest", "v1/Pod");
        check(&[], &[pod], &[migration, taint, pool]);
        check(&[("api/all", true)], &[pod, migration, taint, pool], &[]);
        check(&[("api/beta", true)], &[pod, migration], &[taint]);
        check(&[("api/all", true), ("api/alpha", false)], &[pod, migration], &[taint]);
        check(&[("api/alpha", false), ("resource.k8s.io/v1alpha3", true)], &[taint, pool], &[migration]);
        check(
            &[("resource.k8s.io/v1alpha3", true), ("resource.k8s.io/v1alpha3/devicetaintrules", false)],
            &[pool],
            &[taint],
        );
        check(&[("resource.k8s.io/v1alpha3/devicetaintrules", true)], &[taint], &[pool]);
        check(&[("v1", true), ("apps/v1", true), ("v1/pods", true)], &[pod], &[migration]);
        assert_eq!(Kinds::chosen(&Chosen::default()).iter().count(), Kinds::builtin().iter().count());
    }

    #[test]
    fn what_means_nothing_is_refused_with_a_sentence() {
        for (key, wanted, words) in [
            ("api/legacy", true, "there is no such group"),
            ("extensions/v1beta1", true, "there is no such group"),
            ("nothing", true, "there is no such group"),
            ("v2", true, "the core group has v1"),
            ("resource.k8s.io/v2", true, "resource.k8s.io has v1, v1alpha3, v1beta1, v1beta2"),
            ("resource.k8s.io/v1alpha3/pods", true, "that version has devicetaintrules, resourcepoolstatusrequests"),
            ("resource.k8s.io", true, "there is no such version"),
            ("api/all", false, "cannot be turned off"),
            ("api/ga", false, "cannot be turned off"),
            ("apps/v1", false, "cannot be turned off"),
            ("v1/pods", false, "cannot be turned off"),
        ] {
            let why = parse(&[(key, wanted)]).unwrap_err();
            assert!(why.contains(words) && why.contains(key), "{why}");
        }
    }
}
