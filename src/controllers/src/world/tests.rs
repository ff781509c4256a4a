//! Rows that come and go, the keys that they wake and the tables that they make.

use kedge_plugin_api::controllers::Watch;
use serde_json::{Value, json};

use super::*;

fn kind(group: &str, kind: &str) -> Kind {
    Kind { group: group.into(), version: "v1".into(), kind: kind.into() }
}

fn field(path: &str, field_type: FieldType) -> Field {
    Field { path: path.into(), field_type }
}

fn watch(target: Target, fields: Vec<Field>, wakes: Vec<Wakes>) -> Watch {
    Watch { target, fields, wakes }
}

/// ReplicaSets that own Pods and are selected by them; and a collector over everything.
fn world() -> World {
    let sets = Target::Kind(kind("apps", "ReplicaSet"));
    let pods = Target::Kind(kind("", "Pod"));
    World::new(&[
        Controller {
            name: "replicaset".into(),
            watches: vec![
                watch(sets, vec![field("spec.replicas", FieldType::Integer)], vec![Wakes::Itself]),
                watch(
                    pods,
                    vec![field("status.phase", FieldType::Text), field("spec.paused", FieldType::Boolean)],
                    vec![Wakes::ControllerOwner, Wakes::SelectedBy("spec.selector".into()), Wakes::Namespace],
                ),
            ],
            workers: 1,
        },
        Controller {
            name: "collector".into(),
            watches: vec![watch(
                Target::Every,
                vec![field("metadata.ownerReferences", FieldType::Json)],
                vec![Wakes::Itself, Wakes::Dependents, Wakes::Owners],
            )],
            workers: 1,
        },
    ])
    .unwrap()
}

const SETS: usize = 0;
const PODS: usize = 1;
const EVERY: usize = 2;

fn put(world: &mut World, cache: usize, kind: u32, object: &Value) -> Vec<String> {
    let (key, row) = Row::of(object, kind, &world.caches()[cache].fields.clone());
    names(world.apply(cache, key, row))
}

fn names(woken: Vec<Woken>) -> Vec<String> {
    woken.into_iter().map(|w| format!("{} {}/{}", w.controller, w.key.namespace, w.key.name)).collect()
}

fn set(revision: u64, replicas: i64) -> Value {
    json!({"metadata": {"namespace": "n", "name": "web", "uid": "s1", "resourceVersion": revision.to_string()},
           "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}})
}

fn pod(name: &str, revision: u64, phase: &str, owned: bool) -> Value {
    let mut pod = json!({"metadata": {"namespace": "n", "name": name, "uid": name, "labels": {"app": "other"},
                          "resourceVersion": revision.to_string()}, "status": {"phase": phase}});
    if owned {
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "s1", "controller": true}]);
    }
    pod
}

#[test]
fn a_change_of_a_declared_field_wakes() {
    let mut world = world();
    assert_eq!(put(&mut world, SETS, 0, &set(1, 3)), ["0 n/web"]);
    assert_eq!(put(&mut world, SETS, 0, &set(2, 3)), [""; 0], "nothing that is read has changed");
    assert_eq!(put(&mut world, SETS, 0, &set(3, 4)), ["0 n/web"]);
    assert_eq!(put(&mut world, SETS, 0, &set(1, 9)), [""; 0], "an older version is no news");
}

#[test]
fn a_pod_wakes_its_owner_its_selectors_and_its_namespace() {
    let mut world = world();
    put(&mut world, SETS, 0, &set(1, 3));
    assert_eq!(put(&mut world, PODS, 0, &pod("a", 2, "Pending", true)), ["0 /n", "0 n/web"]);
    assert_eq!(put(&mut world, PODS, 0, &pod("b", 3, "Pending", false)), ["0 /n"]);
    let mut chosen = pod("b", 4, "Pending", false);
    chosen["metadata"]["labels"]["app"] = json!("web");
    assert_eq!(put(&mut world, PODS, 0, &chosen), ["0 /n", "0 n/web"]);
}

#[test]
fn the_going_of_an_owner_wakes_its_dependents() {
    let mut world = world();
    assert_eq!(put(&mut world, EVERY, 4, &set(1, 3)), [""; 0], "it has nothing that is read");
    assert_eq!(put(&mut world, EVERY, 7, &pod("a", 2, "Pending", true)), ["1 /a"]);
    let key = RowKey { namespace: "n".into(), name: "web".into(), kind: 4 };
    assert_eq!(names(world.remove(EVERY, &key, "s1")), ["1 /a"]);
    let table = world.table(1, 0, &Query::Uid("a".into()));
    assert_eq!((table.count, table.kinds, table.names.get(0)), (1, vec![7], "a"));
}

#[test]
fn what_we_deleted_does_not_come_back() {
    let mut world = world();
    put(&mut world, PODS, 0, &pod("a", 2, "Running", true));
    let key = RowKey { namespace: "n".into(), name: "a".into(), kind: 0 };
    assert!(!world.bury(PODS, &key, "a").is_empty());
    assert_eq!(put(&mut world, PODS, 0, &pod("a", 3, "Running", true)), [""; 0], "late news");
    assert!(world.remove(PODS, &key, "a").is_empty());
    assert_eq!(put(&mut world, PODS, 0, &pod("a", 3, "Running", true)), [""; 0], "the answer to a write comes late");
    assert!(world.keys(PODS, 0).is_empty(), "a list begins");
    assert!(!put(&mut world, PODS, 0, &pod("a", 9, "Running", true)).is_empty());
}

#[test]
fn rows_are_found_by_key_owner_labels_and_namespace() {
    let mut world = world();
    put(&mut world, PODS, 0, &pod("b", 1, "Running", true));
    put(&mut world, PODS, 0, &pod("a", 2, "Pending", false));
    let found = |query: Query| {
        let table = world.table(0, 1, &query);
        (0..table.count as usize).map(|i| table.names.get(i).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(Query::All), ["a", "b"]);
    assert_eq!(found(Query::OwnedBy("s1".into())), ["b"]);
    assert_eq!(found(Query::One(Key { namespace: "n".into(), name: "a".into() })), ["a"]);
    assert_eq!(found(Query::Labelled("n".into(), "app in (other)".into())), ["a", "b"]);
    assert_eq!(found(Query::Labelled(String::new(), "app=web".into())), [""; 0]);
    assert_eq!(found(Query::Namespace("m".into())), [""; 0]);
    let table = world.table(0, 1, &Query::All);
    assert_eq!(table.columns[1].present, [0], "no pod has the second field");
    assert!(matches!(&table.columns[0].values, Values::Texts(texts) if texts.get(1) == "Running"));
    assert_eq!(world.table(0, 9, &Query::All), Table::default());
}

#[test]
fn siblings_are_woken_by_what_changes_or_goes_and_everyone_by_anything() {
    let quotas = Target::Kind(kind("", "ResourceQuota"));
    let nodes = Target::Kind(kind("", "Node"));
    let mut world = World::new(&[Controller {
        name: "quota".into(),
        watches: vec![
            watch(quotas, vec![], vec![Wakes::Nobody]),
            watch(Target::Every, vec![], vec![Wakes::Siblings]),
            watch(nodes, vec![], vec![Wakes::Everyone]),
        ],
        workers: 1,
    }])
    .unwrap();
    let quota = json!({"metadata": {"namespace": "n", "name": "q", "uid": "q1", "resourceVersion": "1"}});
    assert_eq!(put(&mut world, 0, 0, &quota), [""; 0]);
    assert_eq!(put(&mut world, 1, 4, &set(2, 3)), [""; 0], "it comes");
    let key = RowKey { namespace: "n".into(), name: "web".into(), kind: 4 };
    assert_eq!(names(world.remove(1, &key, "s1")), ["0 n/q"]);
    let node = json!({"metadata": {"name": "a", "uid": "a1", "resourceVersion": "3"}});
    assert_eq!(put(&mut world, 2, 0, &node), ["0 n/q"]);
}

#[test]
fn a_pod_wakes_its_node() {
    let nodes = Target::Kind(kind("", "Node"));
    let pods = Target::Kind(kind("", "Pod"));
    let mut world = World::new(&[Controller {
        name: "pod-gc".into(),
        watches: vec![
            watch(nodes, vec![], vec![Wakes::Itself]),
            watch(pods, vec![], vec![Wakes::ClusterNamedAt("spec.nodeName".into())]),
        ],
        workers: 1,
    }])
    .unwrap();
    let mut bound = pod("a", 2, "Running", false);
    bound["spec"]["nodeName"] = json!("edge");
    assert_eq!(put(&mut world, 1, 0, &bound), ["0 /edge"]);
    assert_eq!(put(&mut world, 1, 0, &pod("b", 3, "Pending", false)), [""; 0]);
}

#[test]
fn strangers_and_strays_are_found() {
    let mut world = world();
    put(&mut world, SETS, 0, &set(1, 3));
    let labelled = |name: &str, revision: u64, app: &str, owned: bool| {
        let mut pod = pod(name, revision, "Running", owned);
        pod["metadata"]["labels"]["app"] = json!(app);
        pod
    };
    for (name, revision, app, owned) in [("a", 2, "web", true), ("b", 3, "web", false), ("c", 4, "other", true)] {
        put(&mut world, PODS, 0, &labelled(name, revision, app, owned));
    }
    let found = |query: Query| {
        let table = world.table(0, 1, &query);
        (0..table.count as usize).map(|i| table.names.get(i).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(Query::Strangers("n".into(), "app=web".into(), "s1".into())), ["b"]);
    assert_eq!(found(Query::Strays("app=web".into(), "s1".into())), ["c"]);
    assert_eq!(found(Query::OwnedBy("s1".into())), ["a", "c"]);
    assert_eq!(found(Query::Strangers("n".into(), "app in (".into(), "s1".into())), [""; 0]);
}

#[test]
fn rows_are_counted_by_what_they_hold() {
    let mut world = world();
    for (at, phase) in ["Running", "Pending", "Running", "Running"].into_iter().enumerate() {
        put(&mut world, PODS, 0, &pod(&format!("p{at}"), at as u64 + 1, phase, false));
    }
    let tally = world.tally(0, 1, &Query::All, &[0, 9]);
    assert_eq!((tally.table.count, tally.counts.as_slice(), tally.table.columns.len()), (2, &[3, 1][..], 1));
    assert!(matches!(&tally.table.columns[0].values, Values::Texts(texts) if texts.get(1) == "Pending"));
    assert_eq!(world.tally(0, 1, &Query::All, &[]).counts, [4]);
    assert_eq!(world.tally(0, 9, &Query::All, &[0]), Tally::default());
}

#[test]
fn few_rows_of_an_owner_among_many_are_looked_up() {
    let mut world = world();
    for at in 0..40 {
        put(&mut world, PODS, 0, &pod(&format!("p{at:02}"), at + 1, "Running", at % 20 == 7));
    }
    let table = world.table(0, 1, &Query::OwnedBy("s1".into()));
    assert_eq!((table.names.get(0), table.names.get(1), table.count), ("p07", "p27", 2));
}

#[test]
fn the_going_of_a_dependent_wakes_its_owner() {
    let mut world = world();
    put(&mut world, EVERY, 4, &set(1, 3));
    assert_eq!(put(&mut world, EVERY, 7, &pod("a", 2, "Pending", true)), ["1 /a"], "its coming does not");
    let key = RowKey { namespace: "n".into(), name: "a".into(), kind: 7 };
    assert_eq!(names(world.remove(EVERY, &key, "a")), ["1 /a", "1 /s1"]);
    put(&mut world, EVERY, 7, &pod("b", 3, "Pending", true));
    assert_eq!(put(&mut world, EVERY, 7, &pod("b", 4, "Pending", false)), ["1 /b", "1 /s1"]);
    let mut blocking = pod("c", 5, "Pending", true);
    blocking["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true);
    put(&mut world, EVERY, 7, &blocking);
    assert_eq!(put(&mut world, EVERY, 7, &pod("c", 6, "Pending", true)), ["1 /c", "1 /s1"], "it blocks no more");
}

#[test]
fn a_controller_needs_what_it_reads() {
    let world = world();
    assert_eq!((world.needs(0), world.needs(1), world.needs(2)), (vec![SETS, PODS], vec![EVERY], vec![]));
}
