//! Flags of `create` for services, jobs, cron jobs, ingresses, budgets and priority classes.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

use super::CreateHow;

/// Objects by name.
#[derive(Debug, Subcommand)]
pub enum CreateObject {
    /// Create a service.
    #[command(visible_alias = "svc")]
    Service {
        #[command(subcommand)]
        what: CreateService,
    },
    /// Create a job with an image, or as a cron job would make it.
    Job {
        /// Its name.
        name: String,
        /// The image.
        #[arg(long, required_unless_present = "from", conflicts_with = "from")]
        image: Option<String>,
        /// The cron job to make it of: cronjob/NAME.
        #[arg(long, value_name = "CRONJOB/NAME")]
        from: Option<String>,
        /// A command for the container.
        #[arg(last = true)]
        command: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a cron job with an image.
    #[command(visible_alias = "cj")]
    Cronjob {
        /// Its name.
        name: String,
        /// The image.
        #[arg(long, required = true)]
        image: String,
        /// When it runs, such as '*/5 * * * *'.
        #[arg(long, required = true, value_name = "SCHEDULE")]
        schedule: String,
        /// When containers are started anew: OnFailure or Never.
        #[arg(long, default_value = "OnFailure", value_name = "POLICY")]
        restart: String,
        /// A command for the container.
        #[arg(last = true)]
        command: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create an ingress.
    #[command(visible_alias = "ing")]
    Ingress {
        /// Its name.
        name: String,
        /// HOST/PATH=SERVICE:PORT[,tls[=SECRET]]; a path that ends with a star is a prefix. May be repeated.
        #[arg(long, value_name = "RULE")]
        rule: Vec<String>,
        /// The ingress class.
        #[arg(long, value_name = "NAME")]
        class: Option<String>,
        /// Where everything else goes: SERVICE:PORT.
        #[arg(long, value_name = "SERVICE:PORT")]
        default_backend: Option<String>,
        /// An annotation; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        annotation: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a pod disruption budget.
    #[command(visible_alias = "pdb")]
    Poddisruptionbudget {
        /// Its name.
        name: String,
        /// The pods that it is for.
        #[arg(long, required = true, value_name = "SELECTOR")]
        selector: String,
        /// How many must be there, or what part: 1 or 50%.
        #[arg(
            long,
            value_name = "COUNT",
            required_unless_present = "max_unavailable",
            conflicts_with = "max_unavailable"
        )]
        min_available: Option<String>,
        /// How many may be missing, or what part.
        #[arg(long, value_name = "COUNT")]
        max_unavailable: Option<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a priority class.
    #[command(visible_alias = "pc")]
    Priorityclass {
        /// Its name.
        name: String,
        /// The priority.
        #[arg(long, required = true, allow_negative_numbers = true)]
        value: i32,
        /// It is that of pods that name none.
        #[arg(long)]
        global_default: bool,
        /// What it is for.
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
        /// PreemptLowerPriority or Never.
        #[arg(long, default_value = "PreemptLowerPriority", value_name = "POLICY")]
        preemption_policy: String,
        #[command(flatten)]
        how: CreateHow,
    },
}

/// Kinds of services.
#[derive(Debug, Subcommand)]
pub enum CreateService {
    /// Reached within the cluster.
    Clusterip {
        #[command(flatten)]
        ports: ServicePorts,
        /// Its address; None for a headless service.
        #[arg(long, value_name = "IP")]
        clusterip: Option<String>,
    },
    /// Reached by a port of each node.
    Nodeport {
        #[command(flatten)]
        ports: ServicePorts,
        /// The port of the nodes; 0 for any.
        #[arg(long, default_value_t = 0)]
        node_port: u16,
    },
    /// Reached by a load balancer.
    Loadbalancer {
        #[command(flatten)]
        ports: ServicePorts,
    },
    /// Another name for a host elsewhere.
    Externalname {
        #[command(flatten)]
        ports: ServicePorts,
        /// The host.
        #[arg(long, required = true, value_name = "NAME")]
        external_name: String,
    },
}

/// What all services have.
#[derive(Clone, Debug, Args)]
pub struct ServicePorts {
    /// Its name.
    pub name: String,
    /// PORT or PORT:TARGET; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "PORT[:TARGET]")]
    pub tcp: Vec<String>,
    #[command(flatten)]
    pub how: CreateHow,
}
