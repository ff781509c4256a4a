//! Flags of `set`: what of a pod template is set.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

use super::{Files, SubjectFlags, change::Told};

/// `set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(subcommand)]
    pub what: SetWhat,
}

/// Which objects, by words among which there are others.
#[derive(Clone, Debug, Default, Args)]
pub struct Among {
    #[command(flatten)]
    pub files: Files,
    /// Selector (label query) to filter on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// All resources of the types in the namespace.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub told: Told,
}

/// What is set.
#[derive(Debug, Subcommand)]
pub enum SetWhat {
    /// Update the image of a pod template.
    Image {
        /// TYPE NAME or TYPE/NAME, then CONTAINER=IMAGE; the container * stands for all.
        #[arg(value_name = "TYPE[/NAME] [NAME…] CONTAINER=IMAGE…")]
        words: Vec<String>,
        #[command(flatten)]
        among: Among,
    },
    /// Update environment variables of a pod template.
    Env {
        /// TYPE NAME or TYPE/NAME, then KEY=VALUE to set and KEY- to remove.
        #[arg(value_name = "TYPE[/NAME] [NAME…] KEY=VALUE… KEY-…")]
        words: Vec<String>,
        /// Containers by name; * stands for any letters.
        #[arg(long, short = 'c', default_value = "*", value_name = "NAME")]
        containers: String,
        /// Another variable, KEY=VALUE; may be repeated.
        #[arg(long, short = 'e', value_name = "KEY=VALUE")]
        env: Vec<String>,
        /// Variables from a config map or secret.
        #[arg(long, value_name = "TYPE/NAME")]
        from: Option<String>,
        /// With --from: only these keys; may be repeated.
        #[arg(long, value_delimiter = ',', value_name = "KEY")]
        keys: Vec<String>,
        /// With --from: what stands before each name.
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        /// Replace values that are there.
        #[arg(long, default_value = "true")]
        overwrite: bool,
        /// List the variables and change nothing.
        #[arg(long)]
        list: bool,
        #[command(flatten)]
        among: Among,
    },
    /// Update resource requests and limits of a pod template.
    Resources {
        /// TYPE NAME or TYPE/NAME.
        #[arg(value_name = "TYPE[/NAME] [NAME…]")]
        words: Vec<String>,
        /// Containers by name; * stands for any letters.
        #[arg(long, short = 'c', default_value = "*", value_name = "NAME")]
        containers: String,
        /// Limits, such as cpu=100m,memory=256Mi.
        #[arg(long, value_delimiter = ',', value_name = "NAME=QUANTITY")]
        limits: Vec<String>,
        /// Requests, such as cpu=100m,memory=256Mi.
        #[arg(long, value_delimiter = ',', value_name = "NAME=QUANTITY")]
        requests: Vec<String>,
        #[command(flatten)]
        among: Among,
    },
    /// Update the service account of a pod template.
    #[command(visible_alias = "sa")]
    Serviceaccount {
        /// TYPE NAME or TYPE/NAME, then the service account.
        #[arg(value_name = "TYPE[/NAME] [NAME…] ACCOUNT")]
        words: Vec<String>,
        #[command(flatten)]
        among: Among,
    },
    /// Set the pods that a service is for.
    Selector {
        /// TYPE NAME or TYPE/NAME, then KEY=VALUE,…
        #[arg(value_name = "TYPE[/NAME] [NAME…] KEY=VALUE,…")]
        words: Vec<String>,
        /// Only if the resource has this version.
        #[arg(long, value_name = "VERSION")]
        resource_version: Option<String>,
        #[command(flatten)]
        among: Among,
    },
    /// Add users, groups or service accounts to a role binding or cluster role binding.
    Subject {
        /// TYPE NAME or TYPE/NAME.
        #[arg(value_name = "TYPE[/NAME] [NAME…]")]
        words: Vec<String>,
        #[command(flatten)]
        subjects: SubjectFlags,
        #[command(flatten)]
        among: Among,
    },
}

#[cfg(test)]
mod tests {
    use crate::args::read;

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl set image deployment/web web=a:2 *=b --dry-run=server -o yaml",
            "edgectl set image deployments,ds --all a=b",
            "edgectl set env deploy web A=b C- -c w* --overwrite=false",
            "edgectl set env deploy/web --from=configmap/c --prefix=X_ --keys=a,b",
            "edgectl set env pods --all --list",
            "edgectl set resources -f a.yaml --limits=cpu=1,memory=1Gi --requests=cpu=1m",
            "edgectl set sa deployment web bot",
            "edgectl set serviceaccount deployment/web bot",
            "edgectl set selector service web app=web,tier=front --resource-version=1",
            "edgectl set subject rolebinding b --user=jane --group=dev --serviceaccount=a:b --dry-run",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
