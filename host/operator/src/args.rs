//! The arguments of every command. Each flag has a variable `POSTERN_*`; a flag wins over its variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use postern_core::delimiters::Delimiters;
use postern_guest_tools::project::Language;
use postern_standalone::output::Layout;

/// Brings secrets out of the vaults where they are kept into the places where applications read them.
#[derive(Debug, Parser)]
#[command(
    name = "postern",
    version,
    after_help = "Example:\n  postern sync --from manifests --grant-files vault=./vault"
)]
pub struct Postern {
    #[command(flatten)]
    pub logging: Logging,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sync the ExternalSecrets of a folder, without a cluster.
    #[command(
        after_help = "Example:\n  postern sync --from manifests --to out --grant-files vault=./vault"
    )]
    Sync(Sync),
    /// Run the operator in a cluster.
    #[command(after_help = "Example:\n  postern run --metrics-bind-address 127.0.0.1:8080")]
    Run(Run),
    /// Print the CustomResourceDefinitions as YAML.
    #[command(after_help = "Example:\n  postern crds | kubectl apply --server-side -f -")]
    Crds(Crds),
    /// Print all that an installation needs as YAML: CRDs, roles, ServiceAccount, Deployment.
    #[command(
        after_help = "Example:\n  postern manifests --image registry.example.com/postern:0.1.0 | kubectl apply --server-side -f -"
    )]
    Manifests(crate::manifests::Manifests),
    /// Make, build, look at and test plugins.
    #[command(after_help = "Example:\n  postern plugin new --lang go acme-vault")]
    Plugin {
        /// What to do with it.
        #[command(subcommand)]
        task: Plugin,
    },
    /// Compile components and lay them where the binary finds them.
    #[command(after_help = "Example:\n  postern bundle --from target/guests --to plugins")]
    Bundle(Bundle),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  postern completion bash")]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version and the build of the plugin runtime.
    #[command(after_help = "Example:\n  postern version")]
    Version,
}

/// How the process talks.
#[derive(Debug, Args)]
pub struct Logging {
    /// How log lines look on standard error.
    #[arg(
        long,
        global = true,
        env = "POSTERN_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or target=level pairs [default: info for run, warn otherwise].
    #[arg(long, global = true, env = "POSTERN_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// When to colour; NO_COLOR is honoured.
    #[arg(long, global = true, env = "POSTERN_COLOR", default_value = "auto")]
    pub color: Color,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for postern_telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which plugins there are, and what they may do.
#[derive(Debug, Args)]
pub struct Plugins {
    /// Folder of the bundled plugins [default: `plugins` beside the binary].
    #[arg(long, env = "POSTERN_PLUGINS_DIR", value_name = "DIR")]
    pub plugins_dir: Option<PathBuf>,
    /// A further plugin, as a component file; may be given more than once.
    #[arg(
        long = "plugin",
        env = "POSTERN_PLUGIN",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub plugin: Vec<PathBuf>,
    /// Directory whose files Plugins may name as their source.
    #[arg(long, env = "POSTERN_PLUGIN_FILES", value_name = "DIR")]
    pub plugin_files: Option<PathBuf>,
    /// A directory that stores may name, as NAME=DIR; may be given more than once.
    #[arg(long, env = "POSTERN_GRANT_FILES", value_name = "NAME=DIR", value_parser = grant, value_delimiter = ',')]
    pub grant_files: Vec<(String, PathBuf)>,
    /// Addresses that plugins may reach besides those that are open anyway; may be given more than once.
    #[arg(
        long,
        env = "POSTERN_ALLOW_EGRESS",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub allow_egress: Vec<IpNet>,
    /// Addresses that no plugin may reach; wins over everything; may be given more than once.
    #[arg(
        long,
        env = "POSTERN_DENY_EGRESS",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub deny_egress: Vec<IpNet>,
    /// Let plugins that ask for it use the platform's own identity: metadata addresses, and the variables and files of
    /// Postern's environment that the plugin names. Every store that brings no credential of its own then acts as Postern.
    #[arg(long, env = "POSTERN_AMBIENT_IDENTITY")]
    pub ambient_identity: bool,
    /// Where compiled code of further plugins is kept [default: postern/compiled in the user's cache folder].
    #[arg(long, env = "POSTERN_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Stores of another controller class are left alone.
    #[arg(
        long,
        env = "POSTERN_CONTROLLER_CLASS",
        default_value = "default",
        value_name = "CLASS"
    )]
    pub controller_class: String,
    /// Read only what a StoreAccess or ClusterStoreAccess allows, from every namespace, as if each had the label
    /// postern.dev/require-store-access.
    #[arg(long, env = "POSTERN_REQUIRE_STORE_ACCESS")]
    pub require_store_access: bool,
    /// What begins an action in the templates of targets; the annotation postern.dev/template-delimiters of an
    /// ExternalSecret wins [default: the engine's, {{ in Go].
    #[arg(long, env = "POSTERN_TEMPLATE_LEFT_DELIMITER", value_name = "TEXT")]
    pub template_left_delimiter: Option<String>,
    /// What ends an action in the templates of targets [default: the engine's, }} in Go].
    #[arg(long, env = "POSTERN_TEMPLATE_RIGHT_DELIMITER", value_name = "TEXT")]
    pub template_right_delimiter: Option<String>,
}

impl Plugins {
    /// What marks the actions of templates.
    pub fn delimiters(&self) -> Delimiters {
        Delimiters {
            left: self.template_left_delimiter.clone().unwrap_or_default(),
            right: self.template_right_delimiter.clone().unwrap_or_default(),
        }
    }
}

/// Arguments of `sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// Folder of the manifests, read recursively: *.yaml, *.yml, *.json.
    #[arg(long, env = "POSTERN_FROM", value_name = "DIR")]
    pub from: PathBuf,
    /// Folder for the results; without it nothing is written.
    #[arg(long, env = "POSTERN_TO", value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// What to write.
    #[arg(
        long = "as",
        env = "POSTERN_AS",
        default_value = "secrets",
        value_name = "FORM"
    )]
    pub form: Form,
    /// Only say which keys would change, by name; exits 1 if any would.
    #[arg(
        long,
        env = "POSTERN_DRY_RUN",
        conflicts_with = "watch",
        requires = "to"
    )]
    pub dry_run: bool,
    /// Sync again at refresh intervals and when the folder changes, until a signal ends it.
    #[arg(long, env = "POSTERN_WATCH")]
    pub watch: bool,
    /// How long one pass may take.
    #[arg(long, env = "POSTERN_TIMEOUT", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
    /// How the result is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Format,
    #[command(flatten)]
    pub plugins: Plugins,
}

/// What `sync` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    /// Secret manifests: `<namespace>/<name>.yaml`.
    Secrets,
    /// Plain files: `<namespace>/<name>/<key>`, swapped as kubelet does it.
    Files,
}

impl From<Form> for Layout {
    fn from(form: Form) -> Self {
        match form {
            Form::Secrets => Self::Secrets,
            Form::Files => Self::Files,
        }
    }
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table.
    Text,
    /// A table that also says when each object is due again.
    Wide,
    /// One JSON document a pass.
    Json,
    /// The same as a YAML document.
    Yaml,
    /// `kind/namespace/name`, a line each.
    Name,
}

/// Arguments of `crds`.
#[derive(Debug, Args)]
pub struct Crds {
    /// Serve the deprecated version v1beta1 of the group external-secrets.io as well.
    #[arg(long, env = "POSTERN_SERVE_V1BETA1")]
    pub serve_v1beta1: bool,
    /// Print a ValidatingAdmissionPolicy too, with the rules that do not fit into the definitions.
    #[arg(long, env = "POSTERN_ADMISSION_POLICY")]
    pub admission_policy: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Serve one namespace only, and no ClusterSecretStore nor ClusterExternalSecret.
    #[arg(long, env = "POSTERN_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// How often a store is checked that does not say it itself.
    #[arg(long, env = "POSTERN_STORE_REQUEUE_INTERVAL", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub store_requeue_interval: Duration,
    /// Let ExternalSecrets wait while a store that they name is not ready.
    #[arg(long, env = "POSTERN_ENABLE_FLOOD_GATE", value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value_t = true, default_missing_value = "true")]
    pub enable_flood_gate: bool,
    /// Check SecretStores; without it, what another process says in their status counts.
    #[arg(long, env = "POSTERN_ENABLE_SECRET_STORE_RECONCILER", value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value_t = true, default_missing_value = "true")]
    pub enable_secret_store_reconciler: bool,
    /// Serve ClusterSecretStores; without it, ExternalSecrets that name one are left to another process.
    #[arg(long, env = "POSTERN_ENABLE_CLUSTER_STORE_RECONCILER", value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value_t = true, default_missing_value = "true")]
    pub enable_cluster_store_reconciler: bool,
    /// Serve ClusterExternalSecrets.
    #[arg(long, env = "POSTERN_ENABLE_CLUSTER_EXTERNAL_SECRET_RECONCILER", value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value_t = true, default_missing_value = "true")]
    pub enable_cluster_external_secret_reconciler: bool,
    /// Serve targets that are no Secrets (spec.target.manifest): values then stand readable in ConfigMaps and other objects, and
    /// whoever may write an ExternalSecret writes every kind that the operator's role allows.
    #[arg(long, env = "POSTERN_UNSAFE_ALLOW_GENERIC_TARGETS", value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value_t = false, default_missing_value = "true")]
    pub unsafe_allow_generic_targets: bool,
    /// Where /metrics, /healthz and /readyz are served; 0 for nowhere.
    #[arg(long, env = "POSTERN_METRICS_BIND_ADDRESS", default_value = ":8080", value_name = "ADDRESS", value_parser = address)]
    pub metrics_bind_address: Listen,
    /// Give metrics of an ExternalSecret its labels app.kubernetes.io/name, instance, version, component, part-of and managed-by.
    #[arg(long, env = "POSTERN_ENABLE_EXTENDED_METRIC_LABELS")]
    pub enable_extended_metric_labels: bool,
    /// How long a new revision of a Plugin must serve without a fault before the last good one stands by no more.
    #[arg(long, env = "POSTERN_PLUGIN_TRIAL", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub plugin_trial: Duration,
    #[command(flatten)]
    pub plugins: Plugins,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

/// Arguments of `bundle`.
#[derive(Debug, Args)]
pub struct Bundle {
    /// Folder of the components.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Folder for the components and their compiled code.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// What to do with a plugin.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Make a folder that builds into a plugin.
    #[command(after_help = "Example:\n  postern plugin new --lang go acme-vault")]
    New(New),
    /// Build the plugin project in a folder into one component.
    #[command(after_help = "Example:\n  postern plugin build acme-vault --out acme-vault.wasm")]
    Build(Build),
    /// Show what a plugin says of itself.
    #[command(after_help = "Example:\n  postern plugin inspect acme-vault.wasm -o json")]
    Inspect(Inspect),
    /// Hold a plugin against the contract; exits 1 where a check failed.
    #[command(after_help = "Example:\n  postern plugin test acme-vault.wasm --fixture conformance")]
    Test(Test),
    /// Store a plugin in an OCI registry, and print the reference by digest.
    #[command(
        after_help = "Example:\n  postern plugin push acme-vault.wasm registry.example.com/plugins/acme-vault:1.0.0"
    )]
    Push(Push),
    /// Print the PluginGrant that would give a plugin all it asks for; exits 1 where it asks for nothing.
    #[command(
        after_help = "Example:\n  postern plugin grant --suggest acme-vault --component acme-vault.wasm"
    )]
    Grant(Grant),
    /// List the Plugins of the cluster and the plugins that are bundled with this binary.
    #[command(after_help = "Example:\n  postern plugin ls -o wide")]
    Ls(Ls),
    /// Refuse the revision of a Plugin that serves, so that the one before it serves again; exits 1 where there is none.
    #[command(after_help = "Example:\n  postern plugin rollback acme-vault --wait")]
    Rollback(Rollback),
}

/// Arguments of `plugin new`.
#[derive(Debug, Args)]
pub struct New {
    /// The plugin's name: small letters and digits, in words joined by `-`.
    pub name: String,
    /// In which language.
    #[arg(long, env = "POSTERN_LANG")]
    pub lang: Lang,
    /// The folder to make [default: ./NAME].
    #[arg(long, env = "POSTERN_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Lang {
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Python.
    Python,
    /// JavaScript or TypeScript.
    Js,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::Go => Self::Go,
            Lang::Python => Self::Python,
            Lang::Js => Self::Js,
        }
    }
}

/// Arguments of `plugin build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Folder of the project.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The component [default: ./NAME.wasm, with the project's name].
    #[arg(long, env = "POSTERN_OUT", value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `plugin inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The component: a file, or an OCI reference such as registry.example.com/plugins/acme-vault:1.0.0.
    #[arg(value_name = "FILE|REFERENCE")]
    pub component: String,
    /// How it is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Shown,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub compiled: Compiled,
}

/// Arguments of `plugin test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The component.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder with the fixture.yaml that says what the backend answers [default: `conformance` beside FILE].
    #[arg(long, env = "POSTERN_FIXTURE", value_name = "DIR")]
    pub fixture: Option<PathBuf>,
    /// How it is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Shown,
    #[command(flatten)]
    pub compiled: Compiled,
}

/// Arguments of `plugin push`.
#[derive(Debug, Args)]
pub struct Push {
    /// The component.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where it goes: registry/repository:tag.
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// How the result is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Shown,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub compiled: Compiled,
}

/// How a registry is spoken with.
#[derive(Debug, Args)]
pub struct Registry {
    /// Speak HTTP without TLS with the registry.
    #[arg(long, env = "POSTERN_PLAIN_HTTP")]
    pub plain_http: bool,
    /// PEM certificates that are trusted beside the system's.
    #[arg(long, env = "POSTERN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Docker config file with the registry's credentials [default: config.json in $DOCKER_CONFIG or ~/.docker].
    #[arg(long, env = "POSTERN_DOCKER_CONFIG", value_name = "FILE")]
    pub docker_config: Option<PathBuf>,
}

/// How something single is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Arguments of `plugin grant`.
#[derive(Debug, Args)]
pub struct Grant {
    /// Suggest a grant for the Plugin of this name.
    #[arg(long, env = "POSTERN_SUGGEST", value_name = "NAME")]
    pub suggest: String,
    /// The component: a file, or an OCI reference.
    #[arg(long, env = "POSTERN_COMPONENT", value_name = "FILE|REFERENCE")]
    pub component: String,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub compiled: Compiled,
}

/// Arguments of `plugin ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// How the list is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Listed,
    /// Folder of the bundled plugins [default: `plugins` beside the binary].
    #[arg(long, env = "POSTERN_PLUGINS_DIR", value_name = "DIR")]
    pub plugins_dir: Option<PathBuf>,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// A table.
    Text,
    /// A table with whole digests, refused ones too, and what the conditions say.
    Wide,
    /// One JSON document.
    Json,
    /// The same as a YAML document.
    Yaml,
    /// `plugin/NAME` of every Plugin of the cluster, a line each.
    Name,
}

/// Arguments of `plugin rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Name of the Plugin.
    pub name: String,
    /// Take the last rollback back instead: the digest that it refused may serve again.
    #[arg(long, env = "POSTERN_UNDO")]
    pub undo: bool,
    /// Wait until the other revision serves; exits 124 where it does not in time.
    #[arg(long, env = "POSTERN_WAIT")]
    pub wait: bool,
    /// How long to wait.
    #[arg(long, env = "POSTERN_TIMEOUT", default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
    /// How the result is printed.
    #[arg(short, long, env = "POSTERN_OUTPUT", default_value = "text")]
    pub output: Shown,
}

/// Where compiled code is kept.
#[derive(Debug, Args)]
pub struct Compiled {
    /// Where compiled code of plugins is kept [default: postern/compiled in the user's cache folder].
    #[arg(long, env = "POSTERN_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

fn grant(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(dir)))
        }
        _ => Err("expected NAME=DIR, such as vault=/etc/vault".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    postern_core::go::parse_duration(text).map_err(|e| e.to_string())
}

fn address(text: &str) -> Result<Listen, String> {
    if text == "0" {
        return Ok(Listen(None));
    }
    // `:8080` means all addresses, as the flag of the same name does elsewhere.
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map(|a| Listen(Some(a)))
        .map_err(|_| "expected ADDRESS:PORT, :PORT or 0".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Listen, Postern, address, grant};

    #[test]
    fn the_arguments_are_consistent() {
        Postern::command().debug_assert();
    }

    #[test]
    fn reads_addresses_and_grants() {
        assert_eq!(address("0").unwrap(), Listen(None));
        assert_eq!(
            address(":8080").unwrap(),
            Listen(Some("[::]:8080".parse().unwrap()))
        );
        assert!(address("8080").is_err());
        assert_eq!(grant("a=/b=c").unwrap(), ("a".to_owned(), "/b=c".into()));
        assert!(grant("a").is_err());
    }

    #[test]
    fn what_is_on_by_default_can_be_put_off() {
        use clap::Parser as _;
        let gate = |flags: &[&str]| {
            let arguments = ["postern", "run"].iter().chain(flags);
            match Postern::try_parse_from(arguments).unwrap().command {
                super::Command::Run(run) => run.enable_flood_gate,
                other => panic!("{other:?}"),
            }
        };
        assert!(gate(&[]));
        assert!(gate(&["--enable-flood-gate"]));
        assert!(gate(&["--enable-flood-gate=true"]));
        assert!(!gate(&["--enable-flood-gate=false"]));
    }

    #[test]
    fn every_flag_has_a_variable_and_every_command_an_example() {
        let mut command = Postern::command();
        command.build();
        for command in command.get_subcommands() {
            hold_to_the_rules(command, "postern");
        }
    }

    fn hold_to_the_rules(command: &clap::Command, above: &str) {
        let name = format!("{above} {}", command.get_name());
        if command.get_name() == "help" {
            return;
        }
        let example = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            example.contains(&format!("Example:\n  {name}")),
            "{name}: {example}"
        );
        for command in command.get_subcommands() {
            hold_to_the_rules(command, &name);
        }
        if command.get_name() == "bundle" {
            return; // A step of the build, not of an installation.
        }
        for argument in command.get_arguments().filter(|a| {
            a.get_long()
                .is_some_and(|l| !["help", "version"].contains(&l))
        }) {
            assert!(
                argument.get_env().is_some(),
                "{name} --{:?}",
                argument.get_long()
            );
        }
    }
}
