//! Making, starting, ending.

use kedge_runtime::Runtime;
use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, pod, run};

pub async fn a_program_runs_to_its_end(site: Site, zygote: Zygote) {
    let runtime = Runtime::connect(zygote, site.options.clone()).await.expect("connected");
    let sandbox = pod(&site, &runtime).await;
    let exit = run(&runtime, site.program(&sandbox, "c1", &["/bin/true"])).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (0, None, false));
    assert!(exit.started <= exit.finished);
    runtime.remove("c1").await.expect("removed");
    runtime.remove_sandbox("p1").await.expect("removed");
}
