//! What the tests of the binary share: the binary with bundled plugins, and a folder of manifests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The binary under test.
pub const POSTERN: &str = env!("CARGO_BIN_EXE_postern");

const NEEDED: [&str; 4] = ["aws", "fake", "file", "go-template"];

/// The bundled plugins, compiled once for this test process.
pub fn plugins() -> &'static Path {
    static BUNDLE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUNDLE.get_or_init(|| {
        let guests = root().join("target/guests");
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        std::fs::create_dir(&from).unwrap();
        for name in NEEDED {
            let file = format!("{name}.wasm");
            let copied = std::fs::copy(guests.join(&file), from.join(&file));
            assert!(
                copied.is_ok(),
                "{} is missing: run `cargo xtask guests`",
                guests.join(&file).display()
            );
        }
        let to = dir.path().join("plugins");
        let made = Command::new(POSTERN)
            .args(["bundle", "--from"])
            .arg(&from)
            .arg("--to")
            .arg(&to)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        (dir, to)
    });
    path
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with manifests, a backend and a place for results.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// Manifests by file name.
    pub fn with(manifests: &[(&str, &str)]) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(place.path("from")).unwrap();
        for (name, text) in manifests {
            std::fs::write(place.path("from").join(name), text).unwrap();
        }
        place
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `postern sync` with these further arguments, ready to start.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(POSTERN);
        command
            .env_clear()
            .arg("sync")
            .arg("--from")
            .arg(self.path("from"))
            .arg("--plugins-dir")
            .arg(plugins())
            .args(arguments);
        command.current_dir(self.dir.path());
        command
    }

    /// Runs it.
    pub fn sync(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A store of the provider fake with one value, and an ExternalSecret that reads `key`.
pub fn fake(value: &str, key: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{name: s}}\nspec: {{provider: {{fake: {{data: [{{key: k, value: {value}}}]}}}}}}\n---\n\
         apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: app}}\n\
         spec: {{secretStoreRef: {{name: s}}, data: [{{secretKey: password, remoteRef: {{key: {key}}}}}]}}\n"
    )
}
