//! Flags of the verbs that make an object for another one: expose and autoscale.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::Args;

use super::{Files, Which, change::Told};

/// `expose`.
#[derive(Debug, Args)]
pub struct Expose {
    /// TYPE NAME or TYPE/NAME.
    #[arg(value_name = "TYPE[/NAME] [NAME…]")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// The service's name; else the resource's.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The port to serve on; else that of the resource.
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// The port or its name in the container; else the same.
    #[arg(long, value_name = "PORT")]
    pub target_port: Option<String>,
    /// TCP, UDP or SCTP.
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[arg(long = "type", value_name = "TYPE")]
    pub of_type: Option<String>,
    /// The pods to serve; else the resource's.
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub selector: Option<String>,
    /// Labels of the service; else the resource's.
    #[arg(long, short = 'l', value_name = "KEY=VALUE,…")]
    pub labels: Option<String>,
    /// The service's address; None for a headless one.
    #[arg(long, value_name = "IP")]
    pub cluster_ip: Option<String>,
    /// Another address that leads to the service.
    #[arg(long, value_name = "IP")]
    pub external_ip: Option<String>,
    /// The load balancer's address.
    #[arg(long, value_name = "IP")]
    pub load_balancer_ip: Option<String>,
    /// None or ClientIP.
    #[arg(long, value_name = "HOW")]
    pub session_affinity: Option<String>,
    #[command(flatten)]
    pub told: Told,
}

/// `autoscale`.
#[derive(Debug, Args)]
pub struct Autoscale {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// The autoscaler's name; else the resource's.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The least number of pods; else the server's default.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_name = "PODS")]
    pub min: i32,
    /// The greatest number of pods.
    #[arg(long, required = true, allow_negative_numbers = true, value_name = "PODS")]
    pub max: i32,
    /// Wanted use of CPU, in percent of what is requested.
    #[arg(long, value_name = "PERCENT", conflicts_with = "cpu")]
    pub cpu_percent: Option<i32>,
    /// Wanted use of CPU: 70% of what is requested, or 500m for each pod.
    #[arg(long, value_name = "TARGET")]
    pub cpu: Option<String>,
    /// Wanted use of memory: 70% of what is requested, or 100Mi for each pod.
    #[arg(long, value_name = "TARGET")]
    pub memory: Option<String>,
    #[command(flatten)]
    pub told: Told,
}

#[cfg(test)]
mod tests {
    use crate::args::read;

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl expose deployment web --port=80 --target-port=http --type=NodePort --name=front",
            "edgectl expose -f a.yaml --cluster-ip=None -l a=b --dry-run=client -o yaml",
            "edgectl autoscale deployment web --min=2 --max=5 --cpu-percent=80",
            "edgectl autoscale deploy/web --max=5 --cpu=500m --memory=70%",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
