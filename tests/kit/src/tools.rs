//! Where the built test servers lie, and how they are built.
//!
//! They are tools of the Go module in `tests/cluster/tools`. A build takes minutes, so the result is kept outside `target`,
//! in a folder named by the module's `go.sum`: the same sources are never built twice, and other sources never mistaken for them.
//! The OCI registry and Helm are modules of their own in `tools/registry` and `tools/helm`, so that their versions do not make
//! the large ones build again; whoever asks for one first builds it: the registry in seconds, Helm in two minutes or so.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// What to type when a tool is missing.
pub const BUILD_COMMAND: &str = "cargo run -p postern-test-kit --bin postern-test-tools";

/// Name of the binary and the package that it is built from.
const TOOLS: [(&str, &str); 3] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

/// The same for the OCI registry.
const REGISTRY: (&str, &str) = (
    "registry",
    "github.com/google/go-containerregistry/cmd/registry",
);

/// The same for Helm.
const HELM: (&str, &str) = ("helm", "helm.sh/helm/v4/cmd/helm");

/// The built tools of one `go.sum`.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// The store behind the API server.
    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// The API server.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.folder.join("kube-apiserver")
    }

    /// The command line client.
    pub fn kubectl(&self) -> PathBuf {
        self.folder.join("kubectl")
    }

    fn missing(&self) -> Vec<(&'static str, &'static str)> {
        TOOLS
            .into_iter()
            .filter(|(name, _)| !self.folder.join(name).is_file())
            .collect()
    }
}

/// Finds the tools, and fails with the command to type where one is missing.
pub fn locate() -> anyhow::Result<Tools> {
    let tools = expected()?;
    let missing: Vec<_> = tools.missing().into_iter().map(|(name, _)| name).collect();
    if missing.is_empty() {
        return Ok(tools);
    }
    bail!(
        "{} not found in {}: run `{BUILD_COMMAND}`",
        missing.join(", "),
        tools.folder.display()
    )
}

/// Builds the tools that are missing, telling on stderr what it does and how long it takes.
pub fn ensure() -> anyhow::Result<Tools> {
    let tools = expected()?;
    let _lock = lock(&tools.folder)?;
    for (name, package) in tools.missing() {
        eprintln!("a first build of kube-apiserver takes about 7 minutes on two cores");
        build(&module(), &tools.folder, (name, package), &ldflags()?)?;
    }
    Ok(tools)
}

/// The OCI registry, built where it is not there yet.
pub fn registry() -> anyhow::Result<PathBuf> {
    of_its_own("tools/registry", REGISTRY)
}

/// Helm, built where it is not there yet.
pub fn helm() -> anyhow::Result<PathBuf> {
    of_its_own("tools/helm", HELM)
}

/// The interpreter of a virtual environment with the packages that a `requirements.txt` names, made where it is not there yet:
/// what vendors publish for Python, their own client libraries above all, is run against our servers and by them.
pub fn python(requirements: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache()?.join("python").join(key_of(&read(requirements)?));
    let _lock = lock(&folder)?;
    let interpreter = folder.join("bin/python");
    let whole = folder.join(".whole");
    if !whole.is_file() {
        eprintln!("installing what {} names", requirements.display());
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        let mut install = Command::new(&interpreter);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ]);
        run(install.arg(requirements))?;
        fs::write(&whole, "").context("noting that the environment is whole")?;
    }
    Ok(interpreter)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context(
        "starting `python3`, which some test servers and clients need, with its module venv",
    )?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

fn of_its_own(module: &str, tool: (&str, &str)) -> anyhow::Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
    let folder = folder_of(&module)?;
    let binary = folder.join(tool.0);
    let _lock = lock(&folder)?;
    if !binary.is_file() {
        build(&module, &folder, tool, "-s -w")?;
    }
    Ok(binary)
}

/// Makes the folder; two builds at once would each take twice as long for the same files.
fn lock(folder: &Path) -> anyhow::Result<fs::File> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let lock = fs::File::create(folder.join(".lock")).context("opening the build lock")?;
    lock.lock()
        .context("waiting for another build of the test tools")?;
    Ok(lock)
}

fn build(
    module: &Path,
    folder: &Path,
    (name, package): (&str, &str),
    ldflags: &str,
) -> anyhow::Result<()> {
    eprintln!("building {name} from {package}");
    let started = Instant::now();
    let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
    let status = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", ldflags, "-o"])
        .arg(&unfinished)
        .arg(package)
        .env("CGO_ENABLED", "0")
        .current_dir(module)
        .status()
        .context("starting `go`, which builds the test tools")?;
    if !status.success() {
        bail!("building {name} failed: {status}");
    }
    // A reader sees the whole file or none.
    fs::rename(&unfinished, folder.join(name))
        .with_context(|| format!("putting {name} in its place"))?;
    eprintln!("built {name} in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Without these stamps the servers do not know which version they are, and /version says so to every client.
fn ldflags() -> anyhow::Result<String> {
    let version = kubernetes_version(&read(&module().join("go.mod"))?)?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let mut flags = String::from("-s -w");
    for package in [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ] {
        for (key, value) in [
            ("gitVersion", version.as_str()),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("buildDate", "1970-01-01T00:00:00Z"),
        ] {
            flags.push_str(&format!(" -X {package}.{key}={value}"));
        }
    }
    Ok(flags)
}

fn kubernetes_version(go_mod: &str) -> anyhow::Result<String> {
    go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| {
            line.strip_prefix("k8s.io/kubernetes ")?
                .split_whitespace()
                .next()
        })
        .map(str::to_owned)
        .context("go.mod requires no k8s.io/kubernetes")
}

fn expected() -> anyhow::Result<Tools> {
    Ok(Tools {
        folder: folder_of(&module())?,
    })
}

fn folder_of(module: &Path) -> anyhow::Result<PathBuf> {
    let sums = read(&module.join("go.sum"))?;
    Ok(cache()?.join("tools").join(key_of(&sums)))
}

/// Names what was made from a text, so that another text makes another.
fn key_of(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

fn cache() -> anyhow::Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("POSTERN_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("postern")))
        .or_else(|| Some(set("HOME")?.join(".cache/postern")))
        .context("none of POSTERN_CACHE, XDG_CACHE_HOME and HOME is set, so there is no place for the test tools")
}

fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/tools")
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_kubernetes_version_in_a_tidied_go_mod() {
        let tidied =
            "require (\n\tk8s.io/kubelet v0.37.2\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n";
        assert_eq!(kubernetes_version(tidied).unwrap(), "v1.37.2");
        assert_eq!(
            kubernetes_version("require k8s.io/kubernetes v1.2.3\n").unwrap(),
            "v1.2.3"
        );
        assert!(kubernetes_version("require k8s.io/kubelet v0.37.2\n").is_err());
    }
}
