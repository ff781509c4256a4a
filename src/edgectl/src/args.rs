//! The command line: verbs and flags under kubectl's names.
//!
//! In: arguments. Out: typed values. Never reads a file and never asks the server.

mod access;
mod apply;
mod boolean;
mod change;
mod config;
mod create;
mod debug;
mod device;
mod discover;
mod nodes;
mod objects;
mod rollout;
mod serve;
mod set;
mod streams;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::Failure;

pub use access::{Auth, AuthWhat, Backup, Certificate, CertificateWhat, CreateRole, Restore, RuleFlags, SubjectFlags};
pub use apply::{Apply, Delete};
pub use boolean::{boolean, tell};
pub use change::{Diff, Edit, Patch, PatchType, Replace, Told, Wait};
pub use config::{Config, ConfigWhat};
pub use create::{Create, CreateHow, CreateSecret, CreateWhat, FromData};
pub use debug::{Inspect, Profile};
pub use device::{Image, ImageWhat, Plugin, PluginWhat};
pub use discover::{ApiResources, ClusterInfo, ClusterInfoWhat, Dump, Events, Explain, Top, TopOrder, TopWhat};
pub use nodes::{Cordon, Drain, Taint};
pub use objects::{CreateObject, CreateService, ServicePorts};
pub use rollout::{Rollout, RolloutWhat};
pub use serve::{Autoscale, Expose};
pub use set::{Among, Set, SetWhat};
pub use streams::{Attach, Copy, Exec, OneContainer, PortForward, Proxy, Run};

/// Controls a Kedge device or fleet. Everything that kubectl users know, under the same names.
#[derive(Debug, Parser)]
#[command(name = "edgectl", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Path to the kubeconfig file (else KUBECONFIG, else ~/.kube/config).
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig cluster to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The kubeconfig user to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The address and port of the API server.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token for authentication to the API server.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The namespace of this request.
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Do not check the server's certificate. This makes your HTTPS connections insecure.
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// A file with the certificate of the authority that signed the server's.
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// A file with a client certificate.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// A file with the key of the client certificate.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must have; else the one in the URL.
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// The longest time for one request, e.g. 30s; 0 is no limit.
    #[arg(long, global = true, value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// Taken for the sake of scripts that pass it to kubectl: there is no log whose level could be set.
    #[arg(long = "v", short = 'v', global = true, value_name = "LEVEL")]
    pub verbosity: Option<u8>,
    /// Username to impersonate for the operation.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Group to impersonate for the operation; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_group: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Display one or many resources.
    Get(Get),
    /// Show details of a specific resource or group of resources.
    Describe(Describe),
    /// Apply a configuration to resources by file name or standard input.
    Apply(Apply),
    /// Create a resource from a file or by name.
    Create(Create),
    /// Update fields of a resource.
    Patch(Patch),
    /// Replace a resource by file name or standard input.
    Replace(Replace),
    /// Edit a resource in the editor of KUBE_EDITOR or EDITOR.
    Edit(Edit),
    /// Diff the live version against a would-be applied version.
    Diff(Diff),
    /// Wait for a condition on one or many resources.
    Wait(Wait),
    /// Delete resources by file names, names, or resources and label selector.
    Delete(Delete),
    /// Print the logs of a container in a pod.
    Logs(Logs),
    /// Execute a command in a container.
    Exec(Exec),
    /// Attach to a process that is already running inside an existing container.
    Attach(Attach),
    /// Create and run a particular image in a pod.
    Run(Run),
    /// Look around with a container of your own: in a pod, in a copy of one, or on a node.
    Debug(Inspect),
    /// Copy files and directories to and from containers.
    Cp(Copy),
    /// Forward one or more local ports to a pod.
    PortForward(PortForward),
    /// Run a proxy to the API server.
    Proxy(Proxy),
    /// Set a new size for a deployment, replica set, replication controller or stateful set.
    Scale(Scale),
    /// Manage the rollout of a resource.
    Rollout(Rollout),
    /// Create a service for a workload's pods.
    Expose(Expose),
    /// Create an autoscaler for a workload.
    Autoscale(Autoscale),
    /// Set specific features on objects.
    Set(Set),
    /// Update the taints on one or more nodes.
    Taint(Taint),
    /// Mark a node as unschedulable.
    Cordon(Cordon),
    /// Mark a node as schedulable.
    Uncordon(Cordon),
    /// Drain a node in preparation for maintenance.
    Drain(Drain),
    /// Update the labels of a resource.
    Label(Label),
    /// Update the annotations of a resource.
    Annotate(Label),
    /// Load and list the images of a device.
    Image(Image),
    /// List the plugins of a device.
    Plugin(Plugin),
    /// Inspect authorization.
    Auth(Auth),
    /// Approve or deny certificate signing requests.
    Certificate(Certificate),
    /// Write all objects of the running device to a file.
    Backup(Backup),
    /// Replace all objects of the running device by those of a backup.
    Restore(Restore),
    /// Print the supported API resources on the server.
    ApiResources(ApiResources),
    /// Print the supported API versions on the server, in the form of "group/version".
    ApiVersions,
    /// Display addresses of the control plane and of the cluster's own services.
    ClusterInfo(ClusterInfo),
    /// Display what nodes or pods use.
    Top(Top),
    /// Get documentation for a resource and its fields.
    Explain(Explain),
    /// List events.
    Events(Events),
    /// Display and change the kubeconfig.
    Config(Config),
    /// Print the objects that the kustomization of a folder makes.
    Kustomize(Kustomize),
    /// Print the flags that every verb takes.
    Options,
    /// Print the client and server version information.
    Version(Version),
    /// Output shell completion code.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// A command line by its words, separated by single spaces.
#[cfg(test)]
pub fn read(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::parse_words(line.split(' '))
}

impl Verb {
    /// Whether it makes a binding, whose subjects have a flag of the same name as a global one.
    pub fn takes_subjects(&self) -> bool {
        if let Verb::Set(set) = self {
            return matches!(set.what, SetWhat::Subject { .. });
        }
        let Verb::Create(create) = self else { return false };
        matches!(
            create.what,
            Some(CreateWhat::Role(CreateRole::Rolebinding { .. } | CreateRole::Clusterrolebinding { .. }))
        )
    }
}

/// Which objects: types and names, or a selector.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// TYPE, TYPE NAME…, TYPE/NAME… or TYPE1,TYPE2.
    #[arg(value_name = "TYPE[/NAME] [NAME…]")]
    pub words: Vec<String>,
    /// Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Selector (field query) to filter on, supports '=', '==' and '!='.
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
}

/// Manifests.
#[derive(Clone, Debug, Default, Args)]
pub struct Files {
    /// Files, folders or addresses (https://…) with manifests, or - for standard input; may be repeated, or be several
    /// with commas between.
    #[arg(long, short = 'f', value_name = "FILE", value_delimiter = ',')]
    pub filename: Vec<String>,
    /// Read folders with their subfolders.
    #[arg(long, short = 'R')]
    pub recursive: bool,
    /// A folder with a kustomization, whose objects are taken.
    #[arg(long, short = 'k', value_name = "FOLDER")]
    pub kustomize: Option<String>,
}

impl Files {
    /// Whether there are any.
    pub fn are_given(&self) -> bool {
        !self.filename.is_empty() || self.kustomize.is_some()
    }

    /// That there are some.
    pub fn required(&self) -> Result<(), Failure> {
        if self.are_given() { Ok(()) } else { Err(Failure::said("must specify one of -f and -k")) }
    }
}

/// A dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Do it.
    #[default]
    None,
    /// Print what would be sent.
    Client,
    /// Let the server do everything but store.
    Server,
}

/// `get`.
#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// Output format: json, yaml, name, wide, jsonpath=…, go-template=…, custom-columns=…; the last three may also stand
    /// in a file: jsonpath-file=…, go-template-file=…, custom-columns-file=….
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// The template of -o go-template, go-template-file, jsonpath or jsonpath-file.
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// After listing the requested objects, watch for changes.
    #[arg(long, short = 'w')]
    pub watch: bool,
    /// Watch for changes without listing first.
    #[arg(long)]
    pub watch_only: bool,
    /// List the requested objects across all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Don't print headers.
    #[arg(long)]
    pub no_headers: bool,
    /// Show all labels as the last column.
    #[arg(long)]
    pub show_labels: bool,
    /// Labels that are presented as columns; may be repeated.
    #[arg(long, short = 'L', value_name = "LABEL", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Sort by this field, as a JSONPath expression such as {.metadata.name}.
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// If an object is not there, answer with nothing and exit code 0.
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Keep managedFields when printing in JSON or YAML.
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Each name after its kind, as with several kinds.
    #[arg(long)]
    pub show_kind: bool,
    /// Get this subresource of the named objects: status, scale or resize.
    #[arg(long, value_name = "NAME", value_parser = ["status", "scale", "resize"])]
    pub subresource: Option<String>,
    /// Ask for so many objects at once; 0 for all of them.
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub chunk_size: u32,
    /// With --watch: tell what happened to each object.
    #[arg(long)]
    pub output_watch_events: bool,
    /// Print what the server answers at this path, as it is: /readyz, /metrics, /api/v1/nodes.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["words", "filename", "kustomize", "output", "watch", "watch_only"])]
    pub raw: Option<String>,
}

/// `describe`.
#[derive(Debug, Args)]
pub struct Describe {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// Across all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Show the events about it; unless said, those about one object but not about several.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean::boolean)]
    pub show_events: Option<bool>,
}

/// `logs`.
#[derive(Debug, Default, Args)]
pub struct Logs {
    /// POD, or TYPE/NAME such as deployment/web.
    pub target: Option<String>,
    /// The container.
    pub container_word: Option<String>,
    /// The container.
    #[arg(long, short = 'c', value_name = "NAME")]
    pub container: Option<String>,
    /// All containers of the pods.
    #[arg(long)]
    pub all_containers: bool,
    /// Pods by selector.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Go on as lines come.
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// The instance before the running one.
    #[arg(long, short = 'p')]
    pub previous: bool,
    /// Only what is newer than e.g. 5s, 2m, 3h.
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// Only what is newer than a time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since_time: Option<String>,
    /// Only so many of the last lines; -1 for all.
    #[arg(long, allow_negative_numbers = true, value_name = "LINES")]
    pub tail: Option<i64>,
    /// At most so many bytes.
    #[arg(long, value_name = "BYTES")]
    pub limit_bytes: Option<u64>,
    /// Each line after its time.
    #[arg(long)]
    pub timestamps: bool,
    /// Each line after its pod and container.
    #[arg(long)]
    pub prefix: bool,
    /// Of a workload all pods and not the first one; each line after its pod and container.
    #[arg(long)]
    pub all_pods: bool,
    /// Tell of a log that cannot be read, and go on with the others.
    #[arg(long)]
    pub ignore_errors: bool,
    /// The most logs that are followed at once.
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub max_log_requests: usize,
}

/// `scale`.
#[derive(Debug, Args)]
pub struct Scale {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// The new number of replicas.
    #[arg(long, required = true, allow_negative_numbers = true)]
    pub replicas: i32,
    /// Only if this is the number now.
    #[arg(long)]
    pub current_replicas: Option<i32>,
    /// Only if the resource has this version.
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    /// All resources of the types in the namespace.
    #[arg(long)]
    pub all: bool,
    /// Wait so long for the new number of pods, e.g. 30s; 0 does not wait.
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    #[command(flatten)]
    pub told: Told,
}

/// `label` and `annotate`.
#[derive(Debug, Args)]
pub struct Label {
    /// TYPE NAME or TYPE/NAME, then KEY=VALUE to set and KEY- to remove.
    #[arg(value_name = "TYPE[/NAME] [NAME…] KEY=VALUE… KEY-…")]
    pub words: Vec<String>,
    /// Selector (label query) to filter on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// All resources of the types in the namespace.
    #[arg(long)]
    pub all: bool,
    /// Replace values that are there.
    #[arg(long)]
    pub overwrite: bool,
    /// Only if the resource has this version.
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    #[command(flatten)]
    pub files: Files,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Display the labels or annotations.
    #[arg(long)]
    pub list: bool,
    /// Name of the manager used to track field ownership.
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    #[command(flatten)]
    pub told: Told,
}

/// `kustomize`.
#[derive(Debug, Args)]
pub struct Kustomize {
    /// The folder.
    #[arg(default_value = ".", value_name = "FOLDER")]
    pub folder: String,
    /// Write to this file, and not to standard output.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Only the client's version; asks no server.
    #[arg(long)]
    pub client: bool,
    /// Output format: json or yaml.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        boolean::command().debug_assert();
    }

    #[test]
    fn the_subject_of_a_binding_is_no_user_of_the_kubeconfig() {
        let line = "edgectl create clusterrolebinding b --clusterrole=view --user=jane --user=joe";
        let parsed = read(line).unwrap();
        assert!(parsed.verb.takes_subjects());
        let Verb::Create(Create { what: Some(CreateWhat::Role(role)), .. }) = parsed.verb else { panic!("{line}") };
        let CreateRole::Clusterrolebinding { subjects, .. } = role else { panic!("{line}") };
        assert_eq!(subjects.user, ["jane", "joe"]);
    }

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl get po -A -o wide",
            "edgectl get deploy/web pod/x -o=yaml",
            "edgectl -n a apply -f x.yaml --dry-run=server",
            "edgectl apply -f - --dry-run",
            "edgectl create ns a",
            "edgectl create -n foo cm a --from-literal=x=y",
            "edgectl -n foo create cm a --from-literal=x=y --dry-run=server",
            "edgectl create -f x.yaml",
            "edgectl create deployment web --image=a -- sh -c x",
            "edgectl delete pod a --grace-period=0 --force",
            "edgectl delete pods --all --wait=false",
            "edgectl logs -f web -c a --tail=-1",
            "edgectl exec web -- ls -l",
            "edgectl exec -it web -c x -- sh",
            "edgectl attach -it web -c x",
            "edgectl attach deployment/web",
            "edgectl run -i --rm web --image=a --restart=Never -- sh -c x",
            "edgectl run web --image=a --attach=false --dry-run=client -o yaml",
            "edgectl cp a/web:/tmp/x x -c y",
            "edgectl port-forward svc/web 8080:80 :9 --address localhost,10.0.0.1",
            "edgectl proxy --port=0",
            "edgectl scale deploy web --replicas=3",
            "edgectl rollout status deployment/web --timeout=30s",
            "edgectl rollout undo deploy web --to-revision=2",
            "edgectl label pods a x=y z-",
            "edgectl image load a.tar",
            "edgectl version --client",
            "edgectl auth can-i get pods -n a --as jane",
            "edgectl auth can-i --list",
            "edgectl auth can-i get /healthz -q",
            "edgectl auth whoami -o yaml",
            "edgectl auth reconcile -f x.yaml",
            "edgectl certificate approve a b",
            "edgectl backup a.kedge --keys",
            "edgectl restore a.kedge --yes",
            "edgectl create role r --verb=get,list --resource=pods,deployments.apps",
            "edgectl create clusterrole r --verb=get --non-resource-url=/healthz",
            "edgectl create rolebinding b --clusterrole=view --serviceaccount=a:b",
            "edgectl create clusterrolebinding b --clusterrole=view --user=jane --group=dev",
            "edgectl create secret tls t --cert=a --key=b",
            "edgectl create token bot --duration=10m --bound-object-kind=Pod --bound-object-name=p",
            "edgectl completion bash",
            "edgectl get pods -v=6 --request-timeout=5s",
            "edgectl --v 2 get pods --certificate-authority a --client-certificate b --client-key c --tls-server-name d",
            "edgectl apply -f a --prune -l app=web --wait --timeout=5s --grace-period=1 --cascade=orphan",
            "edgectl apply -f a --prune --all --prune-allowlist=core/v1/ConfigMap --prune-allowlist=apps/v1/Deployment",
            "edgectl get pod a --subresource=status --show-kind --chunk-size=0 -w --output-watch-events",
            "edgectl logs deploy/web --all-pods --max-log-requests=9 --ignore-errors",
            "edgectl scale deploy --all --replicas=1 --timeout=5s --dry-run=server --resource-version=1 -o name",
            "edgectl label -f a x=y --dry-run -o yaml --field-manager=me",
            "edgectl label pods a --list",
            "edgectl annotate pods --all -A x=y",
            "edgectl apply -k overlays/site --prune --all",
            "edgectl delete --kustomize . --ignore-not-found",
            "edgectl get -k .",
            "edgectl kustomize overlays/site -o all.yaml",
            "edgectl kustomize",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
