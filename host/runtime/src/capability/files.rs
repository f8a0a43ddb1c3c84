//! The interface `files`: directories that a grant names, read only, through handles that no link leads out of.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use postern_core::failure::Code;

use crate::bindings::v0_1::{files::Host, types::Failure};
use crate::limits;
use crate::state::{CallState, failure};

impl Host for CallState {
    async fn read(
        &mut self,
        root: String,
        path: String,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        self.in_directory(root, path, read_file).await
    }

    async fn list_dir(
        &mut self,
        root: String,
        path: String,
    ) -> wasmtime::Result<Result<Vec<String>, Failure>> {
        self.in_directory(root, path, list_names).await
    }
}

impl CallState {
    async fn in_directory<T: Send + 'static>(
        &mut self,
        root: String,
        path: String,
        work: fn(&Dir, &str) -> std::io::Result<T>,
    ) -> wasmtime::Result<Result<T, Failure>> {
        let Some(directory) = self.directories.get(&root).cloned() else {
            let name = self.cleaner.clean_to(&root, 64);
            let text = format!(
                "the directory \"{name}\" is not granted to this plugin; --grant-files {name}=DIR grants one"
            );
            return Ok(Err(self.refuse(Code::FilesDenied, text)));
        };
        let shown = self.cleaner.clean_to(&path, 200);
        let done =
            tokio::task::spawn_blocking(move || open(&directory).and_then(|dir| work(&dir, &path)))
                .await;
        self.waited();
        Ok(match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(of_io(&error, &root, &shown)),
            Err(_) => Err(failure(
                "internal",
                format!("reading {shown} in \"{root}\" was cut off"),
            )),
        })
    }
}

fn open(directory: &Path) -> std::io::Result<Dir> {
    Dir::open_ambient_dir(directory, ambient_authority())
}

fn read_file(dir: &Dir, path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    dir.open(path)?
        .take(limits::FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(std::io::Error::new(
            ErrorKind::FileTooLarge,
            format!("larger than {} KiB", limits::FILE_BYTES >> 10),
        ));
    }
    Ok(bytes)
}

fn list_names(dir: &Dir, path: &str) -> std::io::Result<Vec<String>> {
    let path = if path.is_empty() { "." } else { path };
    let mut names = Vec::new();
    for entry in dir.read_dir(path)?.take(limits::DIRECTORY_NAMES) {
        let entry = entry?;
        let mut name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn of_io(error: &std::io::Error, root: &str, path: &str) -> Failure {
    let (code, what) = match error.kind() {
        ErrorKind::NotFound => ("not-found", "is not there"),
        ErrorKind::PermissionDenied => (
            "denied",
            "may not be read, or leads out of the granted directory",
        ),
        ErrorKind::FileTooLarge => ("invalid-request", "is larger than a value may be (1 MiB)"),
        ErrorKind::IsADirectory => ("invalid-request", "is a directory"),
        ErrorKind::NotADirectory => ("invalid-request", "is no directory"),
        _ => ("unavailable", "cannot be read"),
    };
    failure(
        code,
        format!("{path} in the granted directory \"{root}\" {what}"),
    )
}
