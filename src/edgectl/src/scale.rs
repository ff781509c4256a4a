//! `scale`: another number of replicas, through the scale subresource.

use std::process::ExitCode;

use kedge_client::{PatchKind, PatchOptions};
use serde_json::json;

use crate::args::Scale;
use crate::error::Failure;
use crate::label::targets;
use crate::session::Session;

/// Runs the verb.
pub async fn run(session: Session, args: Scale) -> Result<ExitCode, Failure> {
    if args.replicas < 0 {
        return Err(Failure::said(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    let mut failed = false;
    for (resource, namespace, name) in targets(&session, &args.which, &args.files, false).await? {
        let path = resource.path(namespace.as_deref()).name(&*name).subresource("scale");
        let done = async {
            if let Some(expected) = args.current_replicas {
                let now = session.client.get(&path).await?["spec"]["replicas"].as_i64().unwrap_or(0);
                if now != i64::from(expected) {
                    return Err(Failure::said(format!("Expected replicas to be {expected}, was {now}")));
                }
            }
            let patch = json!({"spec": {"replicas": args.replicas}});
            session.client.patch(&path, PatchKind::Merge, &patch, &PatchOptions::default()).await?;
            Ok(())
        };
        match done.await {
            Ok(()) => println!("{} scaled", resource.named(&name)),
            Err(failure) => {
                failed = true;
                eprint!("{}", failure.words());
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
