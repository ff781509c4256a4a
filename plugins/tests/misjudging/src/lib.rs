//! Admission hooks that do what plugins must not do. The name of the object names the misdeed; any other name makes
//! them behave, so that a test sees them work again after they were replaced.
#![cfg(target_arch = "wasm32")]

use kedge_plugin_sdk::review::{
    Answer, Hook, Operation, Parts, Refusal, Request, Reviewer, Verdict, allowed, denied, merged, rule,
};

struct Misjudging;

impl Reviewer for Misjudging {
    fn new(arguments: &str) -> Result<Self, String> {
        if arguments == "\"refuse\"" { Err("no, thank you".into()) } else { Ok(Self) }
    }

    fn hooks(&self) -> Vec<Hook> {
        let hook = |name: &str, mutates: bool| Hook {
            name: name.into(),
            mutates,
            rules: vec![rule(&["*"], &["*"], &[Operation::Create])],
            parts: Parts::OBJECT,
            fields: Vec::new(),
        };
        vec![hook("judge", false), hook("change", true)]
    }

    fn review(&mut self, request: &Request) -> Verdict {
        let answered = |answer: Answer| Verdict { answer, warnings: Vec::new() };
        match (request.hook, request.name.as_str()) {
            (0, "trap") => panic!("I meant to do that"),
            (0, "loop") => loop {
                std::hint::black_box(());
            },
            (0, "grow") => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                }
            }
            (0, "patch") => merged("{}"),
            (0, "code") => {
                answered(Answer::Denied(Refusal { code: 200, reason: String::new(), message: String::new() }))
            }
            (0, "talk") => Verdict { answer: Answer::Allowed, warnings: vec!["x".into(); 1000] },
            (0, "deny") => denied("because I can"),
            (1, "garbage") => merged("{"),
            (1, "rename") => merged("{\"metadata\": {\"name\": \"other\"}}"),
            (1, "unknown") => merged("{\"nonsense\": true}"),
            (1, "label") => merged("{\"metadata\": {\"labels\": {\"a\": \"b\"}}}"),
            _ => allowed(),
        }
    }
}

kedge_plugin_sdk::export_reviewer!(Misjudging);
