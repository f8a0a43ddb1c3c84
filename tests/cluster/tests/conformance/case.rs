//! Reads cases: `manifests.yaml`, which is applied first, and `timeline.yaml`, which says what happens then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// One case.
pub struct Case {
    /// `theme/name`.
    pub name: String,
    pub folder: PathBuf,
    pub timeline: Timeline,
    /// What is there before the first step is looked at: stores with what their backend holds, ExternalSecrets.
    pub manifests: Vec<Value>,
}

/// `timeline.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// One sentence: what is so.
    pub about: String,
    /// The rules of `rules.yaml` that it proves.
    pub rules: Vec<String>,
    /// Where what comes out is meant to be otherwise than with ESO: how, and why.
    #[serde(default)]
    pub differs: Option<String>,
    /// What happens after the manifests have been applied and what follows from them was looked at.
    #[serde(default)]
    pub then: Vec<Step>,
    /// Whether what stands in the manifests never becomes ready; see [`Step::waits`].
    #[serde(default)]
    pub unready: bool,
    /// As in [`Step`].
    #[serde(default)]
    pub quiet_ms: Option<u64>,
}

/// What happens at one moment. All of it is done, then the cluster is given time to come to rest and is looked at.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it is, in few words.
    pub name: String,
    /// Objects to make or to replace.
    #[serde(default)]
    pub apply: Vec<Value>,
    /// JSON merge patches.
    #[serde(default)]
    pub patch: Vec<PatchOf>,
    /// Objects to delete.
    #[serde(default)]
    pub delete: Vec<Named>,
    /// ExternalSecrets that get another `force-sync` annotation.
    #[serde(default)]
    pub touch: Vec<String>,
    /// Some ExternalSecret or store is not meant to answer to the step: do not wait until each has.
    #[serde(default)]
    pub unready: bool,
    /// How long nothing may change before it is looked at; a second where absent.
    #[serde(default)]
    pub quiet_ms: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub namespace: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchOf {
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub namespace: Option<String>,
    pub patch: Value,
}

impl Step {
    pub fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms.unwrap_or(1000))
    }
}

impl Case {
    /// The manifests as the first step.
    pub fn first(&self) -> Step {
        Step {
            name: "manifests".to_owned(),
            apply: self.manifests.clone(),
            unready: self.timeline.unready,
            quiet_ms: self.timeline.quiet_ms,
            ..Step::default()
        }
    }
}

/// All cases under a folder, by name.
pub fn all(root: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for theme in folders(root) {
        for folder in folders(&theme) {
            cases.push(read(root, &folder));
        }
    }
    cases
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn read(root: &Path, folder: &Path) -> Case {
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let manifests = text("manifests.yaml")
        .split("\n---")
        .map(|document| yaml::<Value>(document, folder))
        .filter(|value| !value.is_null())
        .collect();
    Case {
        name: folder.strip_prefix(root).unwrap().display().to_string(),
        folder: folder.to_owned(),
        timeline: yaml(&text("timeline.yaml"), folder),
        manifests,
    }
}

pub fn yaml<T: serde::de::DeserializeOwned>(text: &str, whose: &Path) -> T {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .unwrap_or_else(|e| panic!("{}: {e}", whose.display()))
}
