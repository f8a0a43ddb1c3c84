//! The examples of `docs/external-secret.md`: each block of `yaml` is synced, and what comes out is held against the block of
//! `text` behind it.

use std::collections::BTreeMap;

use crate::common::{Place, root};

/// The blocks of one language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line == format!("```{language}") {
            inside = true;
            found.push(String::new());
        } else if line == "```" {
            inside = false;
        } else if inside && let Some(block) = found.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    found
}

fn name(manifest: &str) -> String {
    let line = manifest.lines().rev().find(|l| l.starts_with("metadata:"));
    let name = line.unwrap().split("name: ").nth(1).unwrap();
    name.trim_end_matches('}').to_owned()
}

#[test]
fn the_examples_make_what_the_page_says() {
    let page = std::fs::read_to_string(root().join("docs/external-secret.md")).unwrap();
    let (manifests, results) = (blocks(&page, "yaml"), blocks(&page, "text"));
    assert_eq!(manifests.len(), results.len());
    let place = Place::with(&[("all.yaml", &manifests.join("---\n"))]);
    let ran = place.sync(&["--to", "out", "--as", "files"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (manifest, result) in manifests.iter().zip(&results) {
        let expected: BTreeMap<String, String> = result
            .lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let folder = place.path("out/default").join(name(manifest));
        let made: BTreeMap<String, String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| {
                let value = std::fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), value)
            })
            .collect();
        assert_eq!(made, expected, "{}", folder.display());
    }
}
