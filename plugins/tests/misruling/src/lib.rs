//! A controller of ConfigMaps that does what plugins must not do. Its `arguments` name what is wrong with what it
//! declares; the name of an object names the misdeed about it. Any other name makes it behave, so that a test sees it
//! work again after it was replaced.
#![cfg(target_arch = "wasm32")]

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{
    Action, Controller, Fault, Guest, Target, Wakes, Watch,
};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{Field, FieldType, Key, Kind, Query};

struct Misruling;

impl Guest for Misruling {
    fn declare(arguments: String) -> Result<Vec<Controller>, String> {
        kedge_plugin_sdk::report_panics();
        let maps = Kind { group: String::new(), version: "v1".into(), kind: "ConfigMap".into() };
        let field = Field { path: "metadata.uid".into(), type_: FieldType::Text };
        let watch = Watch { target: Target::Kind(maps), fields: vec![field], wakes: vec![Wakes::Itself] };
        let mut controller = Controller { name: "misruler".into(), watches: vec![watch], workers: 1 };
        match arguments.trim_matches('"') {
            "refuse" => return Err("no, thank you".into()),
            "trap" => panic!("I meant to do that"),
            "unnamed" => controller.name.clear(),
            "blind" => controller.watches.clear(),
            "many" => return Ok(vec![controller; 5000]),
            _ => {}
        }
        Ok(vec![controller])
    }

    fn reconcile(_: u32, key: Key) -> Result<Action, Fault> {
        match key.name.as_str() {
            "trap" => panic!("I meant to do that"),
            "overflow" => Ok(Action::AgainAfter(deep(key.name.len() as u64))),
            "loop" => loop {
                std::hint::black_box(());
            },
            "grow" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
            }
            // No watch has this number, and no row is there.
            "beyond" => match cluster::rows(999, &Query::All).count {
                0 => Ok(Action::Done),
                count => Err(Fault { message: format!("{count} rows of a watch that is not there") }),
            },
            "later" => Ok(Action::AgainAfter(u64::MAX)),
            "fault" => Err(Fault { message: "I will not".into() }),
            _ => Ok(Action::Done),
        }
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> u64 {
    std::hint::black_box(deep(n + 1)) + std::hint::black_box(n)
}

kedge_plugin_sdk::controller::export_controller!(Misruling with_types_in kedge_plugin_sdk::controller);
