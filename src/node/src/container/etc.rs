//! The files of a pod that the node agent writes: hosts, hostname, resolv.conf.
//!
//! In: the pod's words, its addresses, the resolver settings of host and cluster. Out: text. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kedge_api::machine::DnsConfig;

use crate::pod::spec;

/// The longest host name that Linux takes.
const HOSTNAME_MAX: usize = 63;

/// A pod's host name and, with a subdomain, its domain.
pub fn hostname(pod: &Pod, node: &str, cluster_domain: &str) -> (String, Option<String>) {
    let words = spec(pod);
    if words.host_network == Some(true) {
        return (node.to_owned(), None);
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    let own = words.hostname.clone().filter(|name| !name.is_empty());
    let mut host = own.unwrap_or(name);
    if host.len() > HOSTNAME_MAX {
        host.truncate(HOSTNAME_MAX);
        host.truncate(host.trim_end_matches(['-', '.']).len());
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = words
        .subdomain
        .as_ref()
        .filter(|domain| !domain.is_empty())
        .map(|domain| format!("{domain}.{namespace}.svc.{cluster_domain}"));
    match (&words.hostname_override, &domain) {
        (Some(name), _) if !name.is_empty() => (name.clone(), None),
        (_, Some(domain)) if words.set_hostname_as_fqdn == Some(true) => {
            (format!("{host}.{domain}"), Some(domain.clone()))
        }
        _ => (host, domain),
    }
}

/// `/etc/hosts` of a pod with its own network.
pub fn hosts(pod: &Pod, ips: &[IpAddr], host: &str, domain: Option<&str>) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    for ip in ips {
        match domain {
            Some(domain) => text.push_str(&format!("{ip}\t{host}.{domain}\t{host}\n")),
            None => text.push_str(&format!("{ip}\t{host}\n")),
        }
    }
    text.push_str(&aliases(pod));
    text
}

/// `/etc/hosts` of a pod on the host's network: the host's own, then the aliases.
pub fn hosts_of_node(pod: &Pod, node_hosts: &str) -> String {
    let mut text = String::from("# Kubernetes-managed hosts file (host network).\n");
    text.push_str(node_hosts);
    text.push_str(&aliases(pod));
    text
}

fn aliases(pod: &Pod) -> String {
    let mut text = String::new();
    let list = spec(pod).host_aliases.iter().flatten();
    for alias in list {
        if text.is_empty() {
            text.push_str("\n# Entries added by HostAliases.\n");
        }
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        text.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    text
}

/// Kubernetes' bounds: more than these is left out.
const MOST_NAMESERVERS: usize = 3;
/// See above.
const MOST_SEARCHES: usize = 32;

/// A pod's resolver settings by its `dnsPolicy` and `dnsConfig`.
pub fn resolver(pod: &Pod, host: &DnsConfig, cluster_dns: &[IpAddr], cluster_domain: &str) -> DnsConfig {
    let words = spec(pod);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let host_network = words.host_network == Some(true);
    let cluster = || {
        let mut searches = vec![
            format!("{namespace}.svc.{cluster_domain}"),
            format!("svc.{cluster_domain}"),
            cluster_domain.to_owned(),
        ];
        searches.extend(host.searches.iter().cloned());
        DnsConfig {
            nameservers: cluster_dns.iter().map(IpAddr::to_string).collect(),
            searches,
            options: vec!["ndots:5".into()],
        }
    };
    let mut config = match words.dns_policy.as_deref() {
        Some("None") => DnsConfig::default(),
        Some("Default") => host.clone(),
        _ if cluster_dns.is_empty() => host.clone(),
        Some("ClusterFirstWithHostNet") => cluster(),
        _ if host_network => host.clone(),
        _ => cluster(),
    };
    if let Some(extra) = &words.dns_config {
        config.nameservers.extend(extra.nameservers.iter().flatten().cloned());
        config.searches.extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            let same = |text: &String| text.split(':').next() == Some(name.as_str());
            config.options.retain(|text| !same(text));
            config.options.push(match &option.value {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            });
        }
    }
    config.nameservers = unique(config.nameservers, MOST_NAMESERVERS);
    config.searches = unique(config.searches, MOST_SEARCHES);
    config
}

fn unique(list: Vec<String>, most: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for item in list {
        if !out.contains(&item) && out.len() < most {
            out.push(item);
        }
    }
    out
}

/// `/etc/resolv.conf`.
pub fn resolv_conf(config: &DnsConfig) -> String {
    let mut text = String::new();
    if !config.searches.is_empty() {
        text.push_str(&format!("search {}\n", config.searches.join(" ")));
    }
    for server in &config.nameservers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !config.options.is_empty() {
        text.push_str(&format!("options {}\n", config.options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[track_caller]
    fn dns(spec: Value, cluster: &[&str], want: &str) {
        let host = DnsConfig { nameservers: vec!["9.9.9.9".into()], searches: vec!["lan".into()], options: vec![] };
        let cluster: Vec<IpAddr> = cluster.iter().map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(resolv_conf(&resolver(&pod(spec), &host, &cluster, "cluster.local")), want);
    }

    #[test]
    fn dns_policies() {
        let cluster =
            "search n.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.0.0.10\noptions ndots:5\n";
        let host = "search lan\nnameserver 9.9.9.9\n";
        dns(json!({}), &["10.0.0.10"], cluster);
        dns(json!({}), &[], host);
        dns(json!({"hostNetwork": true}), &["10.0.0.10"], host);
        dns(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), &["10.0.0.10"], cluster);
        dns(json!({"dnsPolicy": "Default"}), &["10.0.0.10"], host);
        dns(
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"], "searches": ["x"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            &["10.0.0.10"],
            "search x\nnameserver 1.2.3.4\noptions ndots:2 edns0\n",
        );
    }

    #[test]
    fn hostnames() {
        let of = |spec| hostname(&pod(spec), "node", "cluster.local");
        assert_eq!(of(json!({})), ("web-0".into(), None));
        assert_eq!(of(json!({"hostNetwork": true})), ("node".into(), None));
        assert_eq!(of(json!({"hostname": "h", "subdomain": "s"})), ("h".into(), Some("s.n.svc.cluster.local".into())));
        assert_eq!(of(json!({"subdomain": "s", "setHostnameAsFQDN": true})).0, "web-0.s.n.svc.cluster.local");
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let text = hosts(&pod, &["10.1.0.5".parse().unwrap()], "web-0", Some("s.n"));
        assert!(text.contains("\n10.1.0.5\tweb-0.s.n\tweb-0\n"));
        assert!(text.ends_with("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    }
}
