//! A real etcd and kube-apiserver on loopback, for as long as a value lives.
//!
//! Tokens, RBAC, validation by CEL, server-side apply, field selectors and watches are the real ones. There are no nodes and no
//! controllers: no pod runs, no owner's death removes what it owned, and a namespace that is deleted stays.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::child::Server;
use crate::pki::{Identity, LOOPBACK_NAMES, PrivateCa};
use crate::tools::{self, Tools};

/// Nine seconds are usual on two idle cores; a machine that builds at the same time needs several times that.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Files of the API server's folder.
const AUDIT_LOG: &str = "audit.log";
const AUDIT_POLICY: &str = "audit.json";

/// The issuer of service account tokens, and their default audience.
pub const SERVICE_ACCOUNT_ISSUER: &str = "https://kubernetes.default.svc";

/// What may differ from one control plane to another.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lets through as many requests as a load test sends; the server's own limits would measure the server.
    pub for_load: bool,
    /// Records what ServiceAccounts ask for; see [`ControlPlane::audited`].
    pub audit: bool,
    /// Further flags of the API server, such as `--feature-gates=…`.
    pub extra_apiserver_flags: Vec<String>,
}

/// A running control plane. Dropping it stops both servers and removes their data.
#[derive(Debug)]
pub struct ControlPlane {
    // In this order, so that the API server is stopped before its store.
    apiserver: Server,
    _etcd: Server,
    tools: Tools,
    url: String,
    admin_token: String,
    ca: PrivateCa,
    ca_pem: String,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&Options::default())
    }

    /// As [`ControlPlane::start`], with options.
    pub fn start_with(options: &Options) -> anyhow::Result<Self> {
        let tools = tools::locate()?;
        let etcd_folder = folder("etcd")?;
        let ports = Ports::free()?;
        let etcd = Server::start(
            etcd_folder.0,
            &mut etcd_command(&tools, &etcd_folder.1, &ports),
        )?;

        let (apiserver_folder, path) = folder("apiserver")?;
        let ca = PrivateCa::new()?;
        let admin_token = random_token()?;
        write_credentials(&path, &ca, &admin_token)?;
        let url = format!("https://127.0.0.1:{}", ports.apiserver);
        fs::write(
            path.join("kubeconfig"),
            kubeconfig(&url, &ca.pem(), &admin_token),
        )
        .context("writing the kubeconfig")?;
        fs::write(path.join(AUDIT_POLICY), audit_policy()).context("writing the audit policy")?;
        let apiserver = Server::start(
            apiserver_folder,
            &mut apiserver_command(&tools, &path, &ports, options),
        )?;

        let plane = Self {
            apiserver,
            _etcd: etcd,
            tools,
            url,
            admin_token,
            ca_pem: ca.pem(),
            ca,
        };
        plane.wait_until_ready()?;
        Ok(plane)
    }

    /// The one control plane of this test process, started by whoever asks first. It goes with the process.
    ///
    /// # Panics
    /// Where it cannot be started: no test of the process can do without it.
    #[allow(
        clippy::panic,
        reason = "a test that has no control plane has failed, and the reason is the message"
    )]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(plane) => plane,
            Err(error) => panic!("no control plane for tests: {error}"),
        }
    }

    /// Where the API server listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A bearer token of a member of `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// What a client has to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client certificate that the server takes for this user.
    pub fn client_certificate(&self, user: &str) -> anyhow::Result<Identity> {
        self.ca.client(user)
    }

    /// A kubeconfig of the administrator.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.apiserver.folder().join("kubeconfig")
    }

    /// `kubectl`, set to speak to this control plane.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.tools.kubectl());
        command.env("KUBECONFIG", self.kubeconfig_path());
        command
    }

    /// How a client with this bearer token connects; for tests of what a ServiceAccount may do.
    pub fn config_for(&self, token: &str) -> anyhow::Result<kube::Config> {
        let mut config = kube::Config::new(
            self.url
                .parse()
                .context("reading the URL of the control plane")?,
        );
        let ca = CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .context("reading the control plane's authority")?;
        config.root_cert = Some(vec![ca.to_vec()]);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(config)
    }

    /// A client of the administrator. Call it inside the runtime that will use it.
    pub fn client(&self) -> anyhow::Result<kube::Client> {
        self.client_for(&self.admin_token)
    }

    /// A client with this bearer token. Call it inside the runtime that will use it.
    pub fn client_for(&self, token: &str) -> anyhow::Result<kube::Client> {
        kube::Client::try_from(self.config_for(token)?)
            .context("making a client of the control plane")
    }

    /// Every request of a ServiceAccount until now as an event of `audit.k8s.io/v1`, a long one from its beginning; nothing
    /// unless [`Options::audit`] was set.
    pub fn audited(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let text = match fs::read_to_string(self.apiserver.folder().join(AUDIT_LOG)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context("reading the audit log"),
        };
        // The last line may still be written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).context("reading a line of the audit log"))
            .collect()
    }

    /// What the API server wrote last, for a test that failed.
    pub fn log_tail(&self) -> String {
        self.apiserver.log_tail()
    }

    /// On a thread of its own, because the caller may stand inside a runtime already.
    fn wait_until_ready(&self) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .context("making a runtime")?;
                    runtime.block_on(self.poll_ready())
                })
                .join()
                .map_err(|_| anyhow!("the wait for the control plane panicked"))?
        })
    }

    async fn poll_ready(&self) -> anyhow::Result<()> {
        let client = self.client()?;
        let started = Instant::now();
        loop {
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .context("making a request")?;
            let last = match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            for (name, server) in [("etcd", &self._etcd), ("kube-apiserver", &self.apiserver)] {
                if server.has_ended() {
                    bail!("{name} ended at once; it wrote:\n{}", server.log_tail());
                }
            }
            if started.elapsed() > START_LIMIT {
                bail!(
                    "the control plane is not ready after {START_LIMIT:?} ({last}); it wrote:\n{}",
                    self.apiserver.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

struct Ports {
    etcd: u16,
    etcd_peers: u16,
    apiserver: u16,
}

impl Ports {
    /// Held together, so that the three differ; neither server can be given an open socket or tell which port it took.
    fn free() -> anyhow::Result<Self> {
        let listen = || TcpListener::bind("127.0.0.1:0").context("looking for a free port");
        let held = [listen()?, listen()?, listen()?];
        let port = |listener: &TcpListener| {
            listener
                .local_addr()
                .map(|address| address.port())
                .context("reading a port")
        };
        Ok(Self {
            etcd: port(&held[0])?,
            etcd_peers: port(&held[1])?,
            apiserver: port(&held[2])?,
        })
    }
}

fn folder(name: &str) -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("postern-test-{name}-"))
        .tempdir()
        .context("making a temporary folder")?;
    let path = folder.path().to_owned();
    Ok((folder, path))
}

fn etcd_command(tools: &Tools, data: &Path, ports: &Ports) -> Command {
    let clients = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    let mut command = Command::new(tools.etcd());
    command
        .arg(format!("--data-dir={}", data.join("data").display()))
        // The data need not survive a crash of the machine.
        .arg("--unsafe-no-fsync")
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        .arg("--log-level=warn");
    command
}

fn apiserver_command(tools: &Tools, folder: &Path, ports: &Ports, options: &Options) -> Command {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let mut command = Command::new(tools.kube_apiserver());
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={}", ports.apiserver))
        .arg(file("cert-dir", "certificates"))
        .arg(file("tls-cert-file", "server.crt"))
        .arg(file("tls-private-key-file", "server.key"))
        .arg(file("client-ca-file", "ca.crt"))
        .arg(file("token-auth-file", "tokens.csv"))
        .arg(format!("--service-account-issuer={SERVICE_ACCOUNT_ISSUER}"))
        .arg(file("service-account-key-file", "accounts.pub"))
        .arg(file("service-account-signing-key-file", "accounts.key"))
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--authorization-mode=RBAC")
        // No controller makes the default ServiceAccount that this plugin waits for.
        .arg("--disable-admission-plugins=ServiceAccount")
        // There is one server, and a loopback address is no valid endpoint.
        .arg("--endpoint-reconciler-type=none");
    if options.for_load {
        command.args([
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
        ]);
    }
    if options.audit {
        command
            .arg(file("audit-policy-file", AUDIT_POLICY))
            .arg(file("audit-log-path", AUDIT_LOG));
    }
    command.args(&options.extra_apiserver_flags);
    command
}

fn write_credentials(folder: &Path, ca: &PrivateCa, admin_token: &str) -> anyhow::Result<()> {
    let names = [&LOOPBACK_NAMES[..], &["kubernetes.default.svc"]].concat();
    let Identity {
        certificate_pem,
        key_pem,
    } = ca.server(&names)?;
    let accounts =
        rcgen::KeyPair::generate().context("making the key of service account tokens")?;
    for (name, content) in [
        ("ca.crt", ca.pem()),
        ("server.crt", certificate_pem),
        ("server.key", key_pem),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        (
            "tokens.csv",
            format!("{admin_token},admin,admin,system:masters\n"),
        ),
    ] {
        fs::write(folder.join(name), content).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

fn kubeconfig(url: &str, ca_pem: &str, token: &str) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(ca_pem);
    // JSON is YAML.
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": ca}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    })
    .to_string()
}

/// Who asked for what, and the answer's status; never a body.
fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
    })
    .to_string()
}

fn random_token() -> anyhow::Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("making the administrator's token")?;
    Ok(hex::encode(bytes))
}
