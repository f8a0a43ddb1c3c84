//! A real OpenBao or Vault in development mode, filled so that it answers the recorded reads as the recording does.
//!
//! Not prepared: Kubernetes and JWT logins (they need a cluster beside it), and PKI.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::http_server::call;
use super::recording::{RECORDED_ROLE_ID, RECORDED_SECRET_ID, Recording};
use super::{BAO_VARIABLE, Counterpart, Vaultlike};
use crate::child::Server;

const START_LIMIT: Duration = Duration::from_secs(30);
const ROOT_TOKEN: &str = "root";

/// A real server. Dropping it stops it.
#[derive(Debug)]
pub struct BaoServer {
    _server: Server,
    address: SocketAddr,
    url: String,
}

impl BaoServer {
    /// Starts and fills the server that [`BAO_VARIABLE`] names; `None` where it names none.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(binary) = std::env::var_os(BAO_VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let address = free_address()?;
        let folder = tempfile::Builder::new()
            .prefix("postern-test-bao-")
            .tempdir()
            .context("making a temporary folder")?;
        let mut command = Command::new(binary);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={address}"))
            .env("HOME", folder.path());
        let server = Server::start(folder, &mut command)?;
        let bao = Self {
            _server: server,
            address,
            url: format!("http://{address}"),
        };
        bao.wait_until_ready()?;
        bao.fill()?;
        Ok(Some(bao))
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Ok((200, _)) = call(self.address, "GET", "/v1/sys/health", &[], &Value::Null) {
                return Ok(());
            }
            if self._server.has_ended() || started.elapsed() > START_LIMIT {
                bail!(
                    "the server that {BAO_VARIABLE} names did not start; it wrote:\n{}",
                    self._server.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn fill(&self) -> anyhow::Result<()> {
        self.fill_kv2()?;
        self.write(
            "sys/mounts/kv1",
            &json!({"type": "kv", "options": {"version": "1"}}),
        )?;
        self.write("kv1/app", &recorded("KV v1 read", "/data")?)?;
        self.write("kv1/dir/one", &json!({"a": "1"}))?;
        self.fill_logins()
    }

    fn fill_kv2(&self) -> anyhow::Result<()> {
        for note in ["KV v2 read, version 1", "KV v2 read, latest version"] {
            self.write(
                "secret/data/team-a/db",
                &json!({"data": recorded(note, "/data/data")?}),
            )?;
        }
        let custom = recorded(
            "KV v2 metadata with custom_metadata",
            "/data/custom_metadata",
        )?;
        self.write(
            "secret/metadata/team-a/db",
            &json!({"custom_metadata": custom}),
        )?;
        let unicode = recorded(
            "KV v2 read, non-ASCII keys, empty and null values",
            "/data/data",
        )?;
        self.write("secret/data/team-a/unicode", &json!({"data": unicode}))?;
        for path in [
            "team-a/gone",
            "team-a/destroyed",
            "team-a/sub/one",
            "team-a/sub/two",
            "team-b/key",
        ] {
            self.write(&format!("secret/data/{path}"), &json!({"data": {"a": "1"}}))?;
        }
        self.ask("DELETE", "secret/data/team-a/gone", &Value::Null)?;
        self.write("secret/destroy/team-a/destroyed", &json!({"versions": [1]}))
    }

    fn fill_logins(&self) -> anyhow::Result<()> {
        let policy = r#"path "secret/data/team-a/*" { capabilities = ["read"] }"#;
        self.write("sys/policies/acl/team-a", &json!({"policy": policy}))?;
        self.write("sys/auth/approle", &json!({"type": "approle"}))?;
        self.write(
            "auth/approle/role/app",
            &json!({"token_policies": "team-a", "token_ttl": "10m"}),
        )?;
        self.write(
            "auth/approle/role/app/role-id",
            &json!({"role_id": RECORDED_ROLE_ID}),
        )?;
        self.write(
            "auth/approle/role/app/custom-secret-id",
            &json!({"secret_id": RECORDED_SECRET_ID}),
        )?;
        self.write("sys/auth/userpass", &json!({"type": "userpass"}))?;
        self.write(
            "auth/userpass/users/ada",
            &json!({"password": "correct horse", "token_policies": "team-a"}),
        )
    }

    fn write(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.ask("POST", path, body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<()> {
        let (status, answer) = call(
            self.address,
            method,
            &format!("/v1/{path}"),
            &[("X-Vault-Token", ROOT_TOKEN)],
            body,
        )?;
        if !(200..300).contains(&status) {
            bail!("preparing {path} gave {status}: {answer}");
        }
        Ok(())
    }
}

impl Vaultlike for BaoServer {
    fn url(&self) -> &str {
        &self.url
    }

    fn token(&self) -> &'static str {
        ROOT_TOKEN
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Real
    }
}

fn recorded(note: &str, pointer: &str) -> anyhow::Result<Value> {
    let answer = Recording::openbao()
        .answer(note)
        .with_context(|| format!("no recorded exchange is called {note:?}"))?;
    answer
        .body
        .pointer(pointer)
        .cloned()
        .with_context(|| format!("{note:?} has no {pointer}"))
}

fn free_address() -> anyhow::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("looking for a free port")
}
