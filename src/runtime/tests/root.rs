//! Real containers on this machine: needs root, `/bin/busybox` and cgroups; says so and passes where they are missing.
//!
//! In: nothing, or words that test names must contain. Out: one line a test. Not under the usual harness, because the
//! zygote must be forked before any thread exists. Each test has its own state folder and cgroup parent.

mod root {
    pub mod bench;
    pub mod cases;
    pub mod site;
}

fn main() {
    // First of all: in a zygote that is made again this does not return.
    let zygote = kedge_runtime::zygote::fork_first();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--be") {
        return root::cases::be(&arguments[1..], zygote.expect("a zygote"));
    }
    let missing = root::site::missing();
    if let Some(missing) = missing {
        println!("skipped: {missing}");
        return;
    }
    root::bench::run(root::cases::ALL, zygote.expect("a zygote"));
}
