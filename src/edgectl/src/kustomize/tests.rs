//! Kustomizations as users write them.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;

/// A folder of its own, which goes in the end.
struct Place(PathBuf);

impl Place {
    /// Files by name, each before its text.
    fn new(files: &[(&str, &str)]) -> Place {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("edgectl-kustomize-{}-{number}", std::process::id()));
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Place(std::fs::canonicalize(folder).unwrap())
    }

    fn build(&self, folder: &str) -> Result<Vec<Value>, String> {
        let items = build(&self.0.join(folder).display().to_string()).map_err(|e| e.to_string())?;
        Ok(items.into_iter().map(|item| item.object).collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: bot
      containers:
      - name: c
        image: web:1
        envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: other}}]
      volumes:
      - {name: v, secret: {secretName: keys}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: old}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bots}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects:
- {kind: ServiceAccount, name: bot, namespace: old}
- {kind: ServiceAccount, name: default, namespace: old}
- {kind: ServiceAccount, name: bot, namespace: another}
";

fn of<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    all.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn an_overlay_changes_its_base() {
    let place = Place::new(&[
        ("base/web.yaml", WEB),
        (
            "base/kustomization.yaml",
            "resources: [web.yaml]\nconfigMapGenerator:\n- name: settings\n  literals: [a=b]\nsecretGenerator:\n- {name: keys, literals: [k=v], options: {disableNameSuffixHash: true}}\n",
        ),
        (
            "site/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\nnamespace: site\nnamePrefix: a-\nnameSuffix: -z\ncommonLabels: {team: edge}\ncommonAnnotations: {by: me}\nimages: [{name: web, newTag: '2'}]\nreplicas: [{name: web, count: 3}]\nconfigMapGenerator:\n- {name: settings, behavior: merge, literals: ['c=\"d\"']}\n",
        ),
    ]);
    let all = place.build("site").unwrap();
    let kinds: Vec<&str> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ClusterRoleBinding", "ConfigMap", "Secret", "Service", "Deployment"]);
    let map = of(&all, "ConfigMap");
    assert_eq!(map["data"], json!({"a": "b", "c": "d"}));
    let hashed = map["metadata"]["name"].as_str().unwrap();
    assert!(hashed.starts_with("a-settings-z-") && hashed.len() == "a-settings-z-".len() + 10, "{hashed}");
    let web = of(&all, "Deployment");
    assert_eq!(
        web["metadata"],
        json!({"name": "a-web-z", "namespace": "site", "labels": {"team": "edge"}, "annotations": {"by": "me"}})
    );
    assert_eq!(web["spec"]["replicas"], 3);
    assert_eq!(web["spec"]["selector"]["matchLabels"], json!({"app": "web", "team": "edge"}));
    let template = &web["spec"]["template"];
    assert_eq!(template["metadata"], json!({"labels": {"app": "web", "team": "edge"}, "annotations": {"by": "me"}}));
    let spec = &template["spec"];
    assert_eq!((&spec["containers"][0]["image"], &spec["serviceAccountName"]), (&json!("web:2"), &json!("a-bot-z")));
    assert_eq!(
        spec["containers"][0]["envFrom"],
        json!([{"configMapRef": {"name": hashed}}, {"secretRef": {"name": "other"}}])
    );
    assert_eq!(spec["volumes"][0]["secret"]["secretName"], "a-keys-z");
    assert_eq!(of(&all, "Service")["spec"]["selector"], json!({"team": "edge"}));
    let binding = of(&all, "ClusterRoleBinding");
    assert_eq!((&binding["metadata"]["name"], &binding["metadata"]["namespace"]), (&json!("a-bots-z"), &Value::Null));
    assert_eq!(binding["roleRef"]["name"], "view");
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "a-bot-z", "namespace": "site"},
            {"kind": "ServiceAccount", "name": "default", "namespace": "site"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "another"}])
    );
}

#[test]
fn one_base_serves_two_overlays() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: [{name: v, configMap: {name: m}}]}\n";
    let place = Place::new(&[
        ("base/a.yaml", map),
        ("base/kustomization.yaml", "resources: [a.yaml]\n"),
        ("x/kustomization.yaml", "resources: [../base]\nnamePrefix: x-\n"),
        ("y/kustomization.yaml", "resources: [../base]\nnamePrefix: y-\n"),
        ("all/kustomization.yaml", "resources: [../x, ../y]\nnamePrefix: all-\nsortOptions: {order: fifo}\n"),
    ]);
    let all = place.build("all").unwrap();
    let seen: Vec<_> = all
        .iter()
        .map(|o| (o["metadata"]["name"].as_str().unwrap(), o["spec"]["volumes"][0]["configMap"]["name"].as_str()))
        .collect();
    assert_eq!(
        seen,
        [("all-x-m", None), ("all-x-p", Some("all-x-m")), ("all-y-m", None), ("all-y-p", Some("all-y-m"))]
    );
}

#[test]
fn what_lives_in_no_namespace_refers_into_any_and_to_its_own_overlay() {
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: [{apiGroups: [''], resources: [secrets], resourceNames: [keys], verbs: [get]}]\n";
    let place = Place::new(&[
        ("base/role.yaml", role),
        ("base/kustomization.yaml", "resources: [role.yaml]\nsecretGenerator: [{name: keys, literals: [a=b]}]\n"),
        ("x/kustomization.yaml", "resources: [../base]\nnamespace: site\nnamePrefix: x-\n"),
        ("y/kustomization.yaml", "resources: [../base]\nnamePrefix: y-\n"),
        ("all/kustomization.yaml", "resources: [../x, ../y]\nnameSuffix: -z\n"),
    ]);
    let all = place.build("all").unwrap();
    let names = |kind: &str| {
        let of = all.iter().filter(|object| object["kind"] == kind);
        of.map(|object| object["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    // As kustomize names them: the hash is that of what is in it, whatever it is called. Those of a namespace first.
    assert_eq!(names("Secret"), ["x-keys-z-k695gkmbtk", "y-keys-z-k695gkmbtk"]);
    let named: Vec<&Value> = all.iter().filter_map(|object| object.pointer("/rules/0/resourceNames/0")).collect();
    assert_eq!(named, ["x-keys-z-k695gkmbtk", "y-keys-z-k695gkmbtk"]);
}

#[test]
fn what_is_replaced_keeps_its_labels() {
    let base = "configMapGenerator:\n- name: m\n  literals: [a=b, c=d]\n  options: {labels: {of: base, l: old}, annotations: {x: z}}\n";
    let site = "resources: [../base]\nconfigMapGenerator:\n- {name: m, behavior: replace, literals: [e=f], options: {labels: {l: new}}}\n";
    let place = Place::new(&[("base/kustomization.yaml", base), ("site/kustomization.yaml", site)]);
    let all = place.build("site").unwrap();
    assert_eq!(all[0]["data"], json!({"e": "f"}));
    assert_eq!(all[0]["metadata"]["labels"], json!({"of": "base", "l": "new"}));
    assert_eq!(all[0]["metadata"]["annotations"], json!({"x": "z"}));
}

#[test]
fn patches_change_what_they_are_for() {
    let sidecar = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: side, image: s}]}}}\n";
    let cases: &[(&str, &str, Value)] = &[
        (
            "patches: [{path: p.yaml}]",
            "/2/spec/template/spec/containers",
            json!([{"name": "side", "image": "s"}, {"name": "c", "image": "web:1", "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "other"}}]}]),
        ),
        ("patchesStrategicMerge: [p.yaml]", "/2/spec/template/spec/containers/0/name", json!("side")),
        (
            "patchesStrategicMerge:\n- |-\n  apiVersion: v1\n  kind: Service\n  metadata: {name: web}\n  spec: {ports: [{port: 80, name: http}]}",
            "/1/spec/ports",
            json!([{"port": 80, "name": "http"}]),
        ),
        (
            "patches:\n- target: {kind: Deployment, name: w.*}\n  patch: '[{\"op\": \"add\", \"path\": \"/spec/replicas\", \"value\": 4}]'",
            "/2/spec/replicas",
            json!(4),
        ),
        (
            "patches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: replace\n      path: /metadata/name\n      value: other",
            "/2/metadata/name",
            json!("other"),
        ),
        (
            "patches:\n- target: {group: apps, version: v1}\n  patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: any, labels: {a: b}}}'",
            "/2/metadata",
            json!({"name": "web", "labels": {"a": "b"}}),
        ),
        (
            "patches:\n- patch: '{apiVersion: v1, kind: Service, metadata: {name: web}, $patch: delete}'",
            "/1/kind",
            json!("Deployment"),
        ),
        (
            "patchesJson6902:\n- target: {version: v1, kind: Service, name: web}\n  patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]'",
            "/1/spec",
            Value::Null,
        ),
    ];
    for (said, path, expected) in cases {
        let text = format!("resources: [web.yaml]\n{said}\n");
        let place = Place::new(&[("web.yaml", WEB), ("p.yaml", sidecar), ("kustomization.yaml", &text)]);
        let all = place.build("").unwrap_or_else(|e| panic!("{said}: {e}"));
        let rest: Vec<Value> = all.into_iter().filter(|object| object["kind"] != "ServiceAccount").collect();
        let whole = json!(rest);
        assert_eq!(whole.pointer(path).unwrap_or(&Value::Null), expected, "{said}");
    }
}

#[test]
fn labels_go_where_they_are_wanted() {
    for (flags, template, selector) in [
        ("", Value::Null, json!({"app": "web"})),
        (", includeTemplates: true", json!("b"), json!({"app": "web"})),
        (", includeSelectors: true", json!("b"), json!({"app": "web", "a": "b"})),
        (
            ", fields: [{path: spec/selector/matchLabels, kind: Deployment}]",
            Value::Null,
            json!({"app": "web", "a": "b"}),
        ),
    ] {
        let text = format!("resources: [web.yaml]\nlabels: [{{pairs: {{a: b}}{flags}}}]\n");
        let place = Place::new(&[("web.yaml", WEB), ("kustomization.yaml", &text)]);
        let all = place.build("").unwrap();
        let web = of(&all, "Deployment");
        assert_eq!(web["metadata"]["labels"], json!({"a": "b"}), "{flags}");
        assert_eq!(web["spec"]["template"]["metadata"]["labels"]["a"], template, "{flags}");
        assert_eq!(web["spec"]["selector"]["matchLabels"], selector, "{flags}");
    }
}

#[test]
fn generators_read_files() {
    let place = Place::new(&[
        ("a.txt", "text"),
        ("b/c.env", "# none\nX=1\nY=a=b\n"),
        (
            "kustomization.yaml",
            "configMapGenerator:\n- {name: m, files: [a.txt, k=a.txt], envs: [b/c.env], options: {labels: {a: b}, immutable: true}}\nsecretGenerator:\n- {name: s, type: x/y, literals: [a=b], namespace: ns}\ngeneratorOptions: {disableNameSuffixHash: true, annotations: {c: d}}\n",
        ),
    ]);
    let all = place.build("").unwrap();
    assert_eq!(
        of(&all, "ConfigMap"),
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
            "metadata": {"name": "m", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "data": {"a.txt": "text", "k": "text", "X": "1", "Y": "a=b"}})
    );
    assert_eq!(
        of(&all, "Secret"),
        &json!({"apiVersion": "v1", "kind": "Secret", "type": "x/y", "data": {"a": "Yg=="},
            "metadata": {"name": "s", "namespace": "ns", "annotations": {"c": "d"}}})
    );
}

#[test]
fn components_change_what_uses_them() {
    let place = Place::new(&[
        ("web.yaml", WEB),
        ("kustomization.yaml", "resources: [web.yaml]\ncomponents: [more]\nnamePrefix: a-\n"),
        (
            "more/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nreplicas: [{name: web, count: 2}]\n",
        ),
    ]);
    let all = place.build("").unwrap();
    assert_eq!((&of(&all, "Deployment")["spec"]["replicas"], all.len()), (&json!(2), 4));
    assert!(place.build("more").unwrap_err().contains("expected kind != 'Component'"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
    for (said, why) in [
        ("resources: [../x.yaml]", "security; file '"),
        ("resources: [/etc/hostname]", "security; file '/etc/hostname' is not in or below '"),
        ("resources: [link.yaml]", "security; file '"),
        ("resources: [a.yaml, a.yaml]", "may not add resource with an already registered id: Pod.v1.[noGrp]/p.[noNs]"),
        ("resources: [.]", "cycle detected"),
        ("resources: [..]", "cycle detected"),
        ("resources: [/]", "new root '/' cannot be absolute"),
        ("resources: [none.yaml]", "none.yaml"),
        ("resources: ['https://a.lan/x.yaml']", "'https://a.lan/x.yaml' is not fetched"),
        ("resources: ['github.com/a/b?ref=v1']", "is not fetched"),
        ("resource: [a.yaml]", "unknown field `resource`"),
        ("vars: []", "the field \"vars\" of kustomizations is not supported here"),
        ("namePrefix: [a]", "expected a string"),
        ("namePrefix: a\nnamePrefix: b", "these keys stand twice: namePrefix"),
        ("patches: [{patch: '[]'}]", "must specify a target for JSON patch"),
        ("patches: [{patch: 'x'}]", "unable to parse SM or JSON patch"),
        ("patches: [{}]", "must specify one of patch and path"),
        (
            "patches: [{patch: '{apiVersion: v1, kind: Pod, metadata: {name: q}}'}]",
            "no matches for Id Pod.v1.[noGrp]/q.[noNs]; failed to find unique target for patch",
        ),
        ("patches: [{target: {name: '[a]'}, patch: '[]'}]", "the pattern \"[a]\" of a target is not supported"),
        (
            "resources: [a.yaml]\npatches: [{target: {kind: Pod}, patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]'}]",
            "cannot patch Pod.v1.[noGrp]/p.[noNs]",
        ),
        ("replicas: [{name: none, count: 1}]", "resource with name none does not match"),
        ("configMapGenerator: [{name: m, behavior: merge}]", "there is none"),
        ("configMapGenerator: [{name: m, literals: [a]}]", "invalid literal source a"),
        ("configMapGenerator: [{name: m, files: [../x.yaml]}]", "security; file '"),
        ("configMapGenerator: [{literals: [a=b]}]", "it must have a name"),
        ("configMapGenerator: [{name: m, literals: [a=b, a=c]}]", "another key by that name already exists"),
        (
            "resources: [a.yaml]\nlabels: [{pairs: {a: b}}]\ncommonLabels: {a: c}",
            "exists in both commonLabels and labels",
        ),
        ("sortOptions: {order: x}", "must be one of [fifo legacy]"),
    ] {
        let place = Place::new(&[("x.yaml", pod), ("k/a.yaml", pod), ("k/kustomization.yaml", said)]);
        std::os::unix::fs::symlink("../x.yaml", place.0.join("k/link.yaml")).unwrap();
        let told = place.build("k").map(|_| String::new()).unwrap_or_else(|e| e);
        assert!(told.contains(why), "{said}: {told}");
    }
    let place = Place::new(&[("a/kustomization.yaml", ""), ("a/kustomization.yml", ""), ("b/x", "")]);
    assert!(place.build("a").unwrap_err().contains("Found multiple kustomization files under"));
    assert!(place.build("b").unwrap_err().contains("unable to find one of 'kustomization.yaml'"));
    assert!(build("https://a.lan/x").unwrap_err().to_string().contains("not fetched"));
    assert!(Path::new(&place.0).is_dir());
}

#[test]
fn what_is_for_this_machine_stays_here() {
    let local = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, annotations: {config.kubernetes.io/local-config: 'true'}}\n";
    let place = Place::new(&[("a.yaml", local), ("web.yaml", WEB), ("Kustomization", "resources: [a.yaml, web.yaml]")]);
    assert!(place.build("").unwrap().iter().all(|object| object["kind"] != "ConfigMap"));
}

#[test]
fn objects_are_printed_one_after_the_other() {
    let item = |name: &str| Item { origin: String::new(), object: json!({"kind": name}), duplicates: Vec::new() };
    assert_eq!(text(&[item("A"), item("B")]), "kind: A\n---\nkind: B\n");
}
