//! Flags of the verbs that ask what there is: api-resources, api-versions, cluster-info, explain, events.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

/// `api-resources`.
#[derive(Debug, Default, Args)]
pub struct ApiResources {
    /// Only resources that live in namespaces, or with =false only those that don't.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = super::boolean)]
    pub namespaced: Option<bool>,
    /// Only resources that support these verbs, such as list,watch.
    #[arg(long, value_delimiter = ',', value_name = "VERB")]
    pub verbs: Vec<String>,
    /// Only resources of this API group; '' is the core group.
    #[arg(long, value_name = "GROUP")]
    pub api_group: Option<String>,
    /// Only resources of these categories, such as all.
    #[arg(long, value_delimiter = ',', value_name = "CATEGORY")]
    pub categories: Vec<String>,
    /// Output format: wide or name.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// Don't print headers.
    #[arg(long)]
    pub no_headers: bool,
    /// Sort by name or kind; else by API group, then name.
    #[arg(long, value_name = "FIELD")]
    pub sort_by: Option<String>,
}

/// `cluster-info`.
#[derive(Debug, Default, Args)]
pub struct ClusterInfo {
    #[command(subcommand)]
    pub what: Option<ClusterInfoWhat>,
}

/// More about the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterInfoWhat {
    /// Print what is needed to find a fault: nodes, workloads, events and logs.
    Dump(Dump),
}

/// `cluster-info dump`.
#[derive(Debug, Default, Args)]
pub struct Dump {
    /// Of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Of these namespaces; else of kube-system and the current one.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub namespaces: Vec<String>,
    /// Write files to this folder and not to standard output.
    #[arg(long, value_name = "FOLDER")]
    pub output_directory: Option<std::path::PathBuf>,
}

/// `top`.
#[derive(Debug, Args)]
pub struct Top {
    #[command(subcommand)]
    pub what: TopWhat,
}

/// What rows are sorted by, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TopOrder {
    /// What is used of the processors.
    Cpu,
    /// What is used of the memory.
    Memory,
}

/// Of what.
#[derive(Debug, Subcommand)]
pub enum TopWhat {
    /// Of nodes.
    #[command(visible_aliases = ["nodes", "no"])]
    Node {
        /// The node; else all.
        name: Option<String>,
        /// Selector (label query) to filter on.
        #[arg(long, short = 'l', value_name = "SELECTOR")]
        selector: Option<String>,
        /// Sort by cpu or memory, the largest first; else by name.
        #[arg(long, value_enum, value_name = "FIELD")]
        sort_by: Option<TopOrder>,
        /// Shares of the node's capacity, and not of what is allocatable.
        #[arg(long)]
        show_capacity: bool,
        /// Don't print headers.
        #[arg(long)]
        no_headers: bool,
        /// Taken for the sake of scripts that pass it to kubectl: metrics are read as JSON.
        #[arg(long, hide = true)]
        use_protocol_buffers: bool,
    },
    /// Of pods.
    #[command(visible_aliases = ["pods", "po"])]
    Pod {
        /// The pod; else all.
        name: Option<String>,
        /// Selector (label query) to filter on.
        #[arg(long, short = 'l', value_name = "SELECTOR")]
        selector: Option<String>,
        /// Selector (field query) to filter on.
        #[arg(long, value_name = "SELECTOR")]
        field_selector: Option<String>,
        /// In all namespaces.
        #[arg(long, short = 'A')]
        all_namespaces: bool,
        /// A row for each container.
        #[arg(long)]
        containers: bool,
        /// Sort by cpu or memory, the largest first; else by name.
        #[arg(long, value_enum, value_name = "FIELD")]
        sort_by: Option<TopOrder>,
        /// What all of them use together, in a row below.
        #[arg(long)]
        sum: bool,
        /// Don't print headers.
        #[arg(long)]
        no_headers: bool,
        /// Taken for the sake of scripts that pass it to kubectl: metrics are read as JSON.
        #[arg(long, hide = true)]
        use_protocol_buffers: bool,
    },
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// TYPE, or a field of it: TYPE.FIELD.FIELD.
    #[arg(value_name = "TYPE[.FIELD…]")]
    pub words: Vec<String>,
    /// Print the names of all fields below.
    #[arg(long)]
    pub recursive: bool,
    /// Explain this version of the type, such as apps/v1.
    #[arg(long, value_name = "GROUP/VERSION")]
    pub api_version: Option<String>,
    /// Output format: plaintext.
    #[arg(long, short = 'o', default_value = "plaintext", value_name = "FORMAT")]
    pub output: String,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only events about this resource.
    #[arg(long = "for", value_name = "TYPE/NAME")]
    pub about: Option<String>,
    /// Only events of these types: Normal, Warning.
    #[arg(long, value_delimiter = ',', value_name = "TYPE")]
    pub types: Vec<String>,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// After listing the events, watch for more.
    #[arg(long, short = 'w')]
    pub watch: bool,
    /// Don't print headers.
    #[arg(long)]
    pub no_headers: bool,
    /// Output format: json, yaml, name, jsonpath=…, go-template=… or custom-columns=….
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use crate::args::read;

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl api-resources --namespaced=false -o wide",
            "edgectl api-resources --namespaced --verbs=list,get --api-group= --no-headers",
            "edgectl api-versions",
            "edgectl cluster-info",
            "edgectl cluster-info dump -A --output-directory=/tmp/x",
            "edgectl cluster-info dump --namespaces=a,b",
            "edgectl top nodes",
            "edgectl top pod web -A --no-headers -l a=b",
            "edgectl top nodes n --sort-by=memory --show-capacity --no-headers -l a=b",
            "edgectl top pods --containers --sort-by cpu --sum --field-selector=metadata.name=a",
            "edgectl explain deployment.spec --recursive --api-version=apps/v1",
            "edgectl events --for pod/web -w --types=Warning,Normal",
            "edgectl events -A --no-headers -o yaml",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
