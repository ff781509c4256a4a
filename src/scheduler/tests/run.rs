//! The whole scheduler against an API in memory, with a plugin that counts CPU.

#[path = "support/api.rs"]
mod api;
#[path = "support/cpu.rs"]
mod cpu;

use std::sync::Arc;
use std::time::SystemTime;

use api::Api;
use kedge_scheduler::{Metrics, Parts, Scheduler, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Running {
    metrics: Arc<Metrics>,
    task: JoinHandle<Result<(), kedge_scheduler::SchedulerError>>,
    stop: DropGuard,
}

fn start(api: &Api) -> Running {
    let (metrics, stop) = (Arc::<Metrics>::default(), CancellationToken::new());
    let parts = Parts {
        client: api.client(),
        plugins: Arc::new(cpu::Cpu),
        clock: SystemTime::now,
        random: Box::new(|| 0),
        metrics: metrics.clone(),
    };
    let task = tokio::spawn(Scheduler::run(parts, Settings::default(), stop.clone()));
    Running { metrics, task, stop: stop.drop_guard() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_bound_and_events_say_so() {
    let api = Api::default();
    api.put_node("a", "1");
    api.put_pod("early", "100m");
    let _running = start(&api);
    api.until(|api| api.node_of("early") == "a").await;
    api.put_pod("late", "100m");
    api.until(|api| api.node_of("late") == "a").await;
    let expected = [("Scheduled".to_string(), "Successfully assigned ns/late to a".to_string())];
    api.until(|api| api.events_of("late") == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_a_node_is_told_why_and_comes_when_there_is_room() {
    let api = Api::default();
    api.put_node("a", "1");
    api.put_pod("first", "800m");
    let running = start(&api);
    api.until(|api| api.node_of("first") == "a").await;
    api.put_pod("second", "800m");
    let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                   1 No preemption victims found for incoming pod.";
    api.until(|api| api.condition_of("second")["message"] == message).await;
    let condition = api.condition_of("second");
    assert_eq!((&condition["status"], &condition["reason"]), (&"False".into(), &"Unschedulable".into()));
    assert!(condition["lastTransitionTime"].is_string());
    api.until(|api| api.events_of("second").contains(&("FailedScheduling".into(), message.into()))).await;
    api.delete("pods", "first");
    api.until(|api| api.node_of("second") == "a").await;
    assert_eq!(running.metrics.now().scheduled, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_binding_is_tried_again() {
    let api = Api::default();
    api.put_node("a", "1");
    api.refuse_bindings(1);
    api.put_pod("p", "800m");
    let running = start(&api);
    api.until(|api| api.node_of("p") == "a").await;
    assert_eq!(running.metrics.now().bind_failures, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_of_pods_fills_nodes_and_never_overfills_them() {
    let api = Api::default();
    (0..20).for_each(|n| api.put_node(&format!("n{n}"), "1"));
    (0..250).for_each(|n| api.put_pod(&format!("p{n}"), "100m"));
    let running = start(&api);
    api.until(|api| api.assigned() == 200).await;
    for n in 0..20 {
        let node = format!("n{n}");
        assert_eq!((0..250).filter(|p| api.node_of(&format!("p{p}")) == node).count(), 10, "{node}");
    }
    api.put_node("more", "10");
    api.until(|api| api.assigned() == 250).await;
    drop(running.stop);
    running.task.await.unwrap().unwrap();
}
