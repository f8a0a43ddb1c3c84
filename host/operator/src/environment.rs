//! The environment of this process and the files that its variables name, for plugins that ask for parts of it.
//! Who may see what is decided in `postern_sync`; nothing here decides.

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::Answering;
use postern_core::secret::SecretValue;
use postern_sync::Environment;
use tokio::io::AsyncReadExt as _;

/// More than any token or key has; a variable that leads to something else must not fill the memory.
const MOST: u64 = 64 << 10;

/// The process's own environment.
#[derive(Debug)]
pub struct Process;

impl Environment for Process {
    fn variable(&self, name: &str) -> Option<SecretValue> {
        let value = std::env::var(name).ok()?;
        (!value.is_empty()).then(|| SecretValue::from(value))
    }

    fn file<'a>(&'a self, path: &'a str) -> Answering<'a, SecretValue> {
        Box::pin(async move {
            let unreadable = |why: String| Failure::new(Stage::Login, Code::CredentialMissing, why);
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|error| unreadable(error.kind().to_string()))?;
            let mut content = Vec::new();
            file.take(MOST + 1)
                .read_to_end(&mut content)
                .await
                .map_err(|error| unreadable(error.kind().to_string()))?;
            if content.len() as u64 > MOST {
                return Err(unreadable(format!("it has more than {MOST} bytes")));
            }
            Ok(content.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_a_file_and_says_without_its_path_why_it_cannot() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        std::fs::write(path("token"), "abc").unwrap();
        std::fs::write(path("huge"), vec![b'x'; 70_000]).unwrap();
        let token = Process.file(&path("token")).await.unwrap();
        assert_eq!(token.expose(), b"abc");
        for (name, why) in [("none", "not found"), ("huge", "more than 65536 bytes")] {
            let failure = Process.file(&path(name)).await.unwrap_err();
            assert!(failure.public.contains(why), "{failure}");
            assert!(!failure.public.contains(name), "{failure}");
        }
        assert!(Process.variable("PATH").is_some());
        assert!(Process.variable("POSTERN_NO_SUCH_VARIABLE").is_none());
    }
}
