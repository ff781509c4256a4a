//! A machine that is as a test says.

use crate::machine::{Machine, MachineFacts, Pressure};

/// Facts that never change, and the bytes that are free on its disk.
#[derive(Clone, Debug)]
pub struct FakeMachine(pub MachineFacts, pub u64);

impl Default for FakeMachine {
    fn default() -> Self {
        let facts = MachineFacts {
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
            storage_bytes: 8 << 30,
            kernel: "6.1.0".into(),
            os_image: "Testix".into(),
            architecture: "amd64".into(),
            machine_id: "machine".into(),
            boot_id: "boot".into(),
            system_uuid: "uuid".into(),
        };
        let free = facts.storage_bytes;
        Self(facts, free)
    }
}

impl Machine for FakeMachine {
    fn facts(&self) -> MachineFacts {
        self.0.clone()
    }

    fn storage(&self) -> (u64, u64) {
        (self.0.storage_bytes, self.1)
    }

    fn pressure(&self) -> Pressure {
        Pressure::default()
    }
}
