//! The queue as rows: what is done, and where the pods then are.

use super::*;

struct Stage {
    queue: Queue,
    start: Instant,
}

fn pod(name: &str, priority: i32) -> Arc<Pod> {
    let mut pod = Pod::default();
    pod.metadata.uid = name.into();
    pod.metadata.name = name.into();
    pod.spec.priority = priority;
    Arc::new(pod)
}

const TAINTED: &str = "PodToleratesNodeTaints";
const FULL: &str = "PodFitsResources";

/// Steps are `<seconds> <verb> <pod or word>`; `pop` names the pod that must come, `-` for none.
#[track_caller]
fn check(steps: &[&str]) {
    let mut stage = Stage { queue: Queue::default(), start: Instant::now() };
    for step in steps {
        let words: Vec<&str> = step.split(' ').collect();
        let now = stage.start + Duration::from_secs_f64(words[0].parse().unwrap());
        let queue = &mut stage.queue;
        match words[1..] {
            ["put", name] => queue.put(pod(name, 0), now),
            ["put", name, priority] => queue.put(pod(name, priority.parse().unwrap()), now),
            ["remove", name] => queue.remove(name),
            ["pop", name] => {
                let got = queue.pop(now).map_or("-".to_string(), |pod| pod.metadata.name.clone());
                assert_eq!(got, name, "at {step}");
            }
            ["refuse", name, by] => queue.refuse(name, now, vec![by.into()]),
            ["fail", name] => queue.fail(name, now),
            ["left"] => queue.happened(Happening::PodLeft, now),
            ["added"] => queue.happened(Happening::NodeAdded, now),
            ["at", name, place] => {
                let got = queue.place(name).map_or("gone".to_string(), |place| format!("{place:?}"));
                assert_eq!(got, place, "at {step}");
            }
            _ => panic!("no such step: {step}"),
        }
    }
}

#[test]
fn the_highest_priority_goes_first_then_the_oldest() {
    check(&["0 put a", "0 put b 5", "0 put c", "0 put d 5", "0 pop b", "0 pop d", "0 pop a", "0 pop c", "0 pop -"]);
}

#[test]
fn a_removed_pod_does_not_come() {
    check(&["0 put a", "0 put b", "0 remove a", "0 pop b", "0 pop -", "0 at a gone"]);
    check(&["0 put a", "0 pop a", "0 remove a", "0 refuse a x", "0 at a gone", "9 pop -"]);
}

#[test]
fn a_failed_attempt_backs_off_for_twice_as_long_each_time() {
    check(&["0 put a", "0 pop a", "0 fail a", "0.9 pop -", "1 pop a", "1 fail a", "2.9 pop -", "3 pop a"]);
    let mut steps: Vec<String> = vec!["0 put a".into(), "0 pop a".into()];
    let mut at = 0;
    for wait in [1, 2, 4, 8, 10, 10] {
        steps.push(format!("{at} fail a"));
        steps.push(format!("{} pop -", f64::from(at + wait) - 0.1));
        at += wait;
        steps.push(format!("{at} pop a"));
    }
    check(&steps.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_refused_pod_waits_for_what_helps() {
    let refused = ["0 put a", "0 pop a"];
    let then = |steps: &[&str]| check(&[&refused, steps].concat());
    let (full, tainted) = (format!("0 refuse a {FULL}"), format!("0 refuse a {TAINTED}"));
    then(&[&full, "60 pop -", "60 left", "60 pop a"]);
    then(&[&tainted, "60 left", "60 pop -", "60 at a Unschedulable", "60 added", "60 pop a"]);
    // Helped at once, it still backs off.
    then(&[&full, "0.1 left", "0.1 at a BackingOff", "0.2 pop -", "1 pop a"]);
    // At the latest after five minutes.
    then(&[&tainted, "299 pop -", "300 pop a"]);
}

#[test]
fn a_changed_pod_is_tried_again_and_an_equal_one_is_not() {
    let refused = format!("0 refuse a {TAINTED}");
    check(&["0 put a", "0 pop a", &refused, "60 put a", "60 at a Unschedulable", "60 put a 7", "60 pop a"]);
    check(&["0 put a", "0 pop a", "0 put a 7", "0 at a InFlight"]);
}

#[test]
fn a_pod_comes_once() {
    let refused = format!("0 refuse a {FULL}");
    check(&["0 put a", "0 pop a", &refused, "60 left", "60 left", "60 pop a", "60 pop -", "400 pop -"]);
}

#[test]
fn the_next_wake_is_the_end_of_the_first_wait() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    assert_eq!(queue.next_wake(), None);
    queue.put(pod("a", 0), start);
    queue.pop(start);
    queue.fail("a", start);
    assert_eq!(queue.next_wake(), Some(start + BACKOFF_FIRST));
    assert_eq!((queue.count(Place::BackingOff), queue.count(Place::Active)), (1, 0));
}

#[test]
fn a_pod_that_is_refused_for_ever_costs_no_more_each_time() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    queue.put(pod("a", 0), start);
    for second in 0..10_000 {
        let now = start + Duration::from_secs(second * 20);
        if queue.pop(now).is_some() {
            queue.refuse("a", now, vec![FULL.into()]);
        }
        queue.happened(Happening::PodLeft, now + Duration::from_secs(15));
    }
    assert!(queue.parked.len() + queue.backing_off.len() + queue.active.len() < 4 * VOID);
}
