//! The pages for authors of plugins, run as they are written: every block of `sh`, top to bottom in one shell, in an empty
//! folder that is not in this repository.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;

use crate::common::{POSTERN, Ran, plugins, root};
use crate::plugin::describes_itself;

/// What the web server of the pages holds, and what stands in their Secrets; a value that is text has its base64 there.
fn secret_holds(page: &str, printed: &str) {
    let text = std::fs::read_to_string(page_file(page)).unwrap();
    // Every page plays its backend with `printf 'value' > values/…/password`.
    let line = text
        .lines()
        .find(|line| line.starts_with("printf '") && line.ends_with("/password"));
    let value = line.and_then(|line| line.split('\'').nth(1)).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    assert!(
        printed.contains(&encoded),
        "{page}: no {encoded} in {printed}"
    );
}

fn page_file(page: &str) -> std::path::PathBuf {
    root().join("docs/write-a-plugin").join(page)
}

/// The blocks of `sh`, one after another.
fn blocks(text: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

/// The binary with the bundled plugins beside it, as it is installed.
fn installed(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    // A link would not do: the binary looks beside the file that it is.
    std::fs::copy(POSTERN, folder.join("postern")).unwrap();
    std::os::unix::fs::symlink(plugins(), folder.join("plugins")).unwrap();
}

fn run_page(page: &str, dir: &Path) -> Ran {
    let bin = dir.join("bin");
    installed(&bin);
    let work = dir.join("work");
    std::fs::create_dir(&work).unwrap();
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\nset -euxo pipefail\n{}",
        blocks(&std::fs::read_to_string(page_file(page)).unwrap())
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(script).current_dir(&work).env(
        "PATH",
        std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap(),
    );
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") && text != "CARGO_HOME" || text.starts_with("POSTERN_PLUGIN") {
            shell.env_remove(&name);
        }
    }
    Ran::from(shell.output().unwrap())
}

fn leads_to_a_secret(page: &str, language: &str) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_page(page, dir.path());
    assert_eq!(ran.code, Some(0), "{page}: {}\n{}", ran.err, ran.out);
    secret_holds(page, &ran.out);
    describes_itself(&dir.path().join("work/acme-vault"), language);
}

#[test]
fn the_page_for_go_leads_from_an_empty_folder_to_a_secret() {
    leads_to_a_secret("go.md", "Go");
}

#[test]
fn the_page_for_rust_leads_from_an_empty_folder_to_a_secret() {
    leads_to_a_secret("rust.md", "Rust");
}

#[test]
fn the_page_for_javascript_leads_from_an_empty_folder_to_a_secret() {
    leads_to_a_secret("js.md", "JavaScript");
}

#[test]
fn the_page_for_python_leads_from_an_empty_folder_to_a_secret() {
    leads_to_a_secret("python.md", "Python");
}

#[test]
fn every_page_is_run() {
    let mut pages: Vec<String> = std::fs::read_dir(root().join("docs/write-a-plugin"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages, ["go.md", "js.md", "python.md", "rust.md"]);
}

#[test]
fn takes_blocks_of_sh_and_nothing_else() {
    let page = "a\n```sh\none\n\ntwo <<EOF\n```\ntext\n```yaml\nno: 1\n```\n```sh\nthree\n```\n";
    assert_eq!(blocks(page), "one\n\ntwo <<EOF\nthree\n");
}
