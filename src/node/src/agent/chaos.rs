//! Seeded disorder over ports in memory: pods come and go, containers end, acts fail, writes fail, the daemon and the
//! power go. Afterwards everything must settle: what should run runs, what is deleted has left nothing.

use std::time::Duration;

use serde_json::json;

use super::tests::{Device, one, with};
use crate::fakes::Script;
use crate::port::{ApiFault, Clock as _, Kind, NetworkFault};

/// Small numbers that follow from a seed (xorshift).
struct Rolls(u64);

impl Rolls {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Each costs about a quarter of a second of one core; forty were tried while this was written.
const SEEDS: u64 = 8;

async fn disorder(seed: u64) {
    let mut rolls = Rolls(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut device = Device::on().await;
    device.runtime.script("/short", Script { exits: Some((Duration::from_secs(2), 1)), ..Script::default() });
    device.runtime.script("/init", Script { exits: Some((Duration::from_secs(1), 0)), ..Script::default() });
    device.runtime.script("/deaf", Script { stubborn: true, ..Script::default() });
    let mut made = 0;
    let mut pods: Vec<String> = Vec::new();
    for _ in 0..80 {
        match rolls.below(12) {
            0..=3 => {
                let name = format!("p{made}");
                made += 1;
                let program = ["/bin/app", "/short", "/deaf"][rolls.below(3) as usize];
                let mut spec = with(json!({"command": [program]}));
                if rolls.below(3) == 0 {
                    spec["initContainers"] = json!([{"name": "init", "image": "init:1", "command": ["/init"]}]);
                }
                if rolls.below(4) == 0 {
                    spec["volumes"] =
                        json!([{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]);
                    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v", "subPath": "a"}]);
                }
                device.pod(&name, spec);
                pods.push(name);
            }
            4 | 5 if !pods.is_empty() => {
                let name = pods.swap_remove(rolls.below(pods.len() as u64) as usize);
                device.api.delete_pod("default", &name, [0, 1, 5][rolls.below(3) as usize]);
            }
            6 => {
                let running = device.running();
                if !running.is_empty() {
                    let id = &running[rolls.below(running.len() as u64) as usize];
                    device.runtime.end(id, [0, 1, 137][rolls.below(3) as usize], false);
                }
            }
            7 => device.api.fail_next_write(ApiFault::Unreachable("chaos".into())),
            8 => match rolls.below(2) {
                0 => device.runtime.fail_sandbox("chaos"),
                _ => device.network.fail_next(NetworkFault::Other("chaos".into())),
            },
            9 => {
                device.stop().await;
                if rolls.below(3) == 0 {
                    device.runtime.power_cut();
                }
                device.start().await;
            }
            _ => tokio::time::sleep(Duration::from_millis(rolls.below(4000))).await,
        }
        if rolls.below(2) == 0 {
            tokio::time::sleep(Duration::from_millis(rolls.below(50))).await;
        }
    }
    // Nothing is wrong any more.
    device.runtime.script("/short", Script::default());
    device.runtime.script("/deaf", Script::default());
    device.until_settled(&pods).await;
    for name in &pods {
        device.api.delete_pod("default", name, 5);
    }
    let began = device.clock.mono();
    for name in &pods {
        device.gone(name).await;
    }
    device.runtime.until(|runtime| runtime.all().is_empty()).await;
    assert!((device.clock.mono() - began).as_secs() < 200, "seed {seed}");
    assert_eq!(device.api.all(Kind::Pod).len(), 0, "seed {seed}");
    // A pod that was deleted by force is cleared away after its object has gone.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(device.network.attached().is_empty(), "seed {seed}");
    assert_eq!(device.folders(), [""; 0], "seed {seed}");
    let memory = device.state_path().join("memory");
    assert_eq!(device.mounts_left(), [memory], "seed {seed}");
    assert!(device.metrics().contains("kedge_node_pods 0"), "seed {seed}");
    assert!(device.metrics().contains("kedge_node_worker_panics_total 0"), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn disorder_settles() {
    for seed in 1..=SEEDS {
        disorder(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_start_and_one_is_kept_running_throughout() {
    let mut device = Device::on().await;
    device.pod("kept", one());
    device.until_settled(&["kept".into()]).await;
    let id = device.running().remove(0);
    for round in 0..20 {
        for number in 0..5 {
            device.pod(&format!("r{round}-{number}"), one());
        }
        if round % 3 == 0 {
            device.stop().await;
            device.start().await;
        }
        for number in 0..5 {
            device.api.delete_pod("default", &format!("r{round}-{number}"), 1);
        }
    }
    for round in 0..20 {
        for number in 0..5 {
            device.gone(&format!("r{round}-{number}")).await;
        }
    }
    device.runtime.until(|runtime| runtime.all().len() == 1).await;
    assert_eq!(device.running(), [id]);
}
