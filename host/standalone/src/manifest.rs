//! Manifests as text to objects: documents split, read and checked, each problem with its file, document and line.
//!
//! Pure: reading the files is [`crate::folder`]'s. A broken document never takes its neighbours with it, and no problem
//! shows a value, since a Secret may be what is broken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_api::external_secret::StoreKind;
use postern_api::names;
use postern_api::{
    ClusterSecretStore, ClusterStoreAccess, ExternalSecret, Plugin, PluginGrant, PluginGrantSpec,
    PluginSpec, SecretStore, StoreAccess,
};
use postern_core::access::{self, Access, AccessId};
use postern_core::failure::{Code, Failure, Stage, one_line};
use postern_core::secret::SecretValue;
use postern_core::store::{self, Store, StoreId};
use serde_json::Value;

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, relative to the folder.
    pub file: PathBuf,
    /// Which document of the file, from 1.
    pub document: usize,
    /// The line of the file: where the document begins, or where it breaks.
    pub line: u64,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, document {}, line {}",
            self.file.display(),
            self.document,
            self.line
        )
    }
}

/// A document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// Why, and what to do.
    pub failure: Failure,
}

/// A document of a kind that a sync does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Where.
    pub origin: Origin,
    /// Its kind.
    pub kind: String,
}

/// Namespace and name.
pub type Name = (String, String);

/// The keys of a Secret or ConfigMap.
pub type Keys = BTreeMap<String, SecretValue>;

/// All that a folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifests {
    /// What to sync.
    pub external_secrets: BTreeMap<Name, ExternalSecret>,
    /// Where values come from.
    pub stores: BTreeMap<StoreId, Store>,
    /// Credentials.
    pub secrets: BTreeMap<Name, Keys>,
    /// Labels of those Secrets.
    pub secret_labels: BTreeMap<Name, BTreeMap<String, String>>,
    /// CAs and the like.
    pub config_maps: BTreeMap<Name, Keys>,
    /// Plugins from outside, by name.
    pub plugins: BTreeMap<String, PluginSpec>,
    /// What is allowed to them, by name.
    pub grants: BTreeMap<String, PluginGrantSpec>,
    /// What restricts stores.
    pub access: BTreeMap<AccessId, Arc<Access>>,
    /// A document that may have restricted stores is no YAML: every store is closed.
    pub access_unknown: bool,
    /// Labels of the namespaces that have a manifest.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// What cannot be used.
    pub problems: Vec<Problem>,
    /// What is not for us.
    pub ignored: Vec<Ignored>,
}

impl Manifests {
    /// Adds the documents of one file.
    pub fn add_file(&mut self, file: &std::path::Path, text: &str) {
        for (index, (line, document)) in split(text).into_iter().enumerate() {
            let origin = Origin {
                file: file.to_owned(),
                document: index + 1,
                line,
            };
            match read(&origin, document) {
                Ok(None) => {}
                Ok(Some(value)) => self.add(&origin, value),
                Err(problem) => {
                    // It may restrict any store.
                    self.access_unknown |= document.contains("StoreAccess");
                    self.problems.push(problem);
                }
            }
        }
    }

    fn add(&mut self, origin: &Origin, value: Value) {
        let kind = value
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if let (true, Some(Value::Array(items))) = (kind.ends_with("List"), value.get("items")) {
            // What `kubectl get -o yaml` prints.
            for item in items {
                self.add(origin, item.clone());
            }
            return;
        }
        if let Err(text) = self.add_kind(&kind, origin, value) {
            let failure = Failure::new(Stage::Observe, Code::InvalidSpec, text);
            self.problems.push(Problem {
                origin: origin.clone(),
                failure,
            });
        }
    }

    fn add_kind(&mut self, kind: &str, origin: &Origin, value: Value) -> Result<(), String> {
        match kind {
            "ExternalSecret" => self.external_secret(value),
            "SecretStore" => {
                let store: SecretStore = typed(kind, DROP_IN, value)?;
                let id = StoreId::from_ref(StoreKind::SecretStore, &named(kind, &store.metadata.name)?, &namespace(store.metadata.namespace)?);
                self.store(id, &store.spec)
            }
            "ClusterSecretStore" => {
                let store: ClusterSecretStore = typed(kind, DROP_IN, value)?;
                let id = StoreId::from_ref(StoreKind::ClusterSecretStore, &named(kind, &store.metadata.name)?, "");
                self.store(id, &store.spec.0)
            }
            "Secret" => {
                let name = add_keys(kind, &mut self.secrets, &value, true)?;
                self.secret_labels.insert(name, strings(value.pointer("/metadata/labels")));
                Ok(())
            }
            "ConfigMap" => add_keys(kind, &mut self.config_maps, &value, false).map(|_| ()),
            "Namespace" => {
                let name = value.pointer("/metadata/name").and_then(Value::as_str).ok_or("the Namespace has no name")?;
                self.namespaces.insert(name.to_owned(), strings(value.pointer("/metadata/labels")));
                Ok(())
            }
            // Others have kinds of these names too.
            "Plugin" if is_ours(&value) => {
                let plugin: Plugin = typed(kind, OURS, value)?;
                once_named(kind, &mut self.plugins, named(kind, &plugin.metadata.name)?, plugin.spec)
            }
            "PluginGrant" if is_ours(&value) => {
                let grant: PluginGrant = typed(kind, OURS, value)?;
                let name = named(kind, &grant.metadata.name)?;
                if grant.spec.plugin.is_none() && grant.spec.digest.is_none() {
                    return Err(format!("PluginGrant \"{name}\" does not say for whom it is; give spec.plugin, spec.digest or both"));
                }
                once_named(kind, &mut self.grants, name, grant.spec)
            }
            "StoreAccess" | "ClusterStoreAccess" if is_ours(&value) => self.store_access(kind, value),
            "" => Err("the document has no kind; give it apiVersion and kind, or take it out of the folder".to_owned()),
            _ => {
                self.ignored.push(Ignored { origin: origin.clone(), kind: kind.to_owned() });
                Ok(())
            }
        }
    }

    fn external_secret(&mut self, value: Value) -> Result<(), String> {
        let mut object: ExternalSecret = typed("ExternalSecret", DROP_IN, value)?;
        let name = named("ExternalSecret", &object.metadata.name)?;
        let namespace = namespace(object.metadata.namespace.take())?;
        object
            .metadata
            .uid
            .get_or_insert_with(|| format!("ExternalSecret/{namespace}/{name}"));
        object.metadata.generation.get_or_insert(1);
        object.metadata.namespace = Some(namespace.clone());
        let spec = &object.spec;
        // In a cluster the API server says so.
        if spec.data.iter().flatten().next().is_none()
            && spec.data_from.iter().flatten().next().is_none()
        {
            return Err(format!(
                "ExternalSecret \"{name}\" reads nothing; give it an entry in spec.data or spec.dataFrom"
            ));
        }
        once(
            "ExternalSecret",
            &mut self.external_secrets,
            (namespace, name),
            object,
        )
    }

    /// What cannot be read closes every store that it could speak of, as it does in a cluster.
    fn store_access(&mut self, kind: &str, value: Value) -> Result<(), String> {
        let text = |field| value.pointer(field).and_then(Value::as_str);
        let namespaced = kind == "StoreAccess";
        let id = AccessId {
            namespace: match namespaced {
                true => namespace(text("/metadata/namespace").map(str::to_owned))?,
                false => String::new(),
            },
            name: text("/metadata/name").unwrap_or_default().to_owned(),
        };
        let twice = self.access.contains_key(&id);
        let read = named(kind, &Some(id.name.clone())).and_then(|_| match namespaced {
            true => typed::<StoreAccess>(kind, OURS, value)
                .map(|object| Access::of_store(id.clone(), &object.spec)),
            false => typed::<ClusterStoreAccess>(kind, OURS, value)
                .map(|object| Access::of_cluster_store(id.clone(), &object.spec)),
        });
        let (access, problem) = match read {
            Ok(_) if twice => (
                Access::unreadable(id.clone()),
                Some(format!("{id} stands in the folder twice; keep one of them")),
            ),
            Ok(access) => {
                let problem = access.problem().map(|why| format!("{id}: {why}"));
                (access, problem)
            }
            Err(text) => (Access::unreadable(id.clone()), Some(text)),
        };
        self.access.insert(id, Arc::new(access));
        problem.map_or(Ok(()), Err)
    }

    /// What restricts these stores.
    #[must_use]
    pub fn access_of<'a>(&'a self, stores: impl Iterator<Item = &'a StoreId>) -> access::Known {
        let stores: Vec<&StoreId> = stores.collect();
        let mut known = access::known(self.access.values(), stores.iter().copied());
        for store in stores.into_iter().filter(|_| self.access_unknown) {
            let id = AccessId {
                namespace: store.namespace.clone(),
                name: "of a document that is no YAML".to_owned(),
            };
            let unreadable = Arc::new(Access::unreadable(id));
            known.entry(store.clone()).or_default().push(unreadable);
        }
        known
    }

    fn store(&mut self, id: StoreId, spec: &postern_api::SecretStoreSpec) -> Result<(), String> {
        let uid = format!("{}/{}/{}", id.kind.as_str(), id.namespace, id.name);
        let parsed = store::parse(id.clone(), uid, 1, spec).map_err(|failure| failure.public)?;
        if self.stores.insert(id.clone(), parsed).is_some() {
            return Err(format!("{id} stands in the folder twice; keep one of them"));
        }
        Ok(())
    }
}

fn once<T>(kind: &str, into: &mut BTreeMap<Name, T>, name: Name, object: T) -> Result<(), String> {
    let text = format!(
        "{kind} \"{}/{}\" stands in the folder twice; keep one of them",
        name.0, name.1
    );
    if into.insert(name, object).is_some() {
        Err(text)
    } else {
        Ok(())
    }
}

fn once_named<T>(
    kind: &str,
    into: &mut BTreeMap<String, T>,
    name: String,
    object: T,
) -> Result<(), String> {
    let text = format!("{kind} \"{name}\" stands in the folder twice; keep one of them");
    if into.insert(name, object).is_some() {
        Err(text)
    } else {
        Ok(())
    }
}

/// Splits a file at its document markers, with the line on which each document begins. A line that begins with `---`
/// is a marker wherever it stands, also within a block of text, so this needs no parser.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (line_number, line) in (1u64..).zip(text.split_inclusive('\n')) {
        let bare = line.trim_end();
        let marker = bare == "---" || bare.starts_with("--- ") || bare.starts_with("---\t");
        if marker {
            push(&mut documents, start_line, &text[start..at]);
            // What follows on the marker's own line belongs to the document.
            start = at + 3;
            start_line = line_number;
        }
        at += line.len();
    }
    push(&mut documents, start_line, &text[start..]);
    documents
}

fn push<'a>(documents: &mut Vec<(u64, &'a str)>, line: u64, text: &'a str) {
    let says_something = |l: &str| {
        let l = l.trim();
        !l.is_empty() && !l.starts_with('#') && !l.starts_with('%') && l != "..."
    };
    if text.lines().any(says_something) {
        documents.push((line, text));
    }
}

fn read(origin: &Origin, document: &str) -> Result<Option<Value>, Problem> {
    // Booleans as YAML 1.2 has them: a key called `y` or `no` is text. No snippet: it would show values.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let problem = |line: Option<u64>, text: String| {
        // The parser counts within the document; the file's line is what an editor shows.
        let line = line.map_or(origin.line, |l| origin.line + l.saturating_sub(1));
        let failure = Failure::new(Stage::Observe, Code::InvalidSpec, text);
        Problem {
            origin: Origin {
                line,
                ..origin.clone()
            },
            failure,
        }
    };
    match serde_saphyr::from_str_with_options::<Value>(document, options) {
        Ok(Value::Null) => Ok(None),
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(problem(
            None,
            "the document is no object; a manifest has apiVersion, kind and metadata".to_owned(),
        )),
        Err(error) => {
            let line = error.location().map(|l| l.line());
            let why = masked(&error.without_snippet().render());
            Err(problem(
                line,
                format!("the document is not valid YAML ({why}); correct it at this line"),
            ))
        }
    }
}

/// The version of the drop-in kinds that is read.
const DROP_IN: &str = "external-secrets.io/v1";
/// The version of our own kinds.
const OURS: &str = "postern.dev/v1alpha1";

fn api_version(value: &Value) -> &str {
    let version = value.get("apiVersion").and_then(Value::as_str);
    version.unwrap_or_default()
}

fn is_ours(value: &Value) -> bool {
    let group = api_version(value).split('/').next().unwrap_or_default();
    group == names::POSTERN_GROUP
}

/// Reads an object of a kind whose type we know.
fn typed<T: serde::de::DeserializeOwned>(
    kind: &str,
    expected: &str,
    value: Value,
) -> Result<T, String> {
    let version = api_version(&value);
    if version != expected {
        return Err(format!(
            "the {kind}'s apiVersion must be {expected}, it is \"{}\"",
            one_line(version, 80)
        ));
    }
    serde_json::from_value(value).map_err(|e| {
        format!(
            "the {kind} does not fit its schema ({}); correct that field",
            masked(&e.to_string())
        )
    })
}

/// A parser's message without what stands in double quotes, which may be a value.
fn masked(message: &str) -> String {
    let mut out = String::new();
    for (index, piece) in message.split('"').enumerate() {
        match index % 2 {
            0 => out.push_str(piece),
            _ => out.push_str("\"…\""),
        }
    }
    one_line(&out, 200)
}

fn named(kind: &str, name: &Option<String>) -> Result<String, String> {
    let name = name.as_deref().unwrap_or_default();
    if is_dns_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "the {kind} has no valid metadata.name; use a-z, 0-9, - and ."
        ))
    }
}

fn namespace(namespace: Option<String>) -> Result<String, String> {
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    if is_dns_name(&namespace) {
        Ok(namespace)
    } else {
        Err("metadata.namespace is not a valid name; use a-z, 0-9 and -".to_owned())
    }
}

/// A name that Kubernetes takes, which is also one that cannot leave the folder it becomes a path in.
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with('-')
            && !p.ends_with('-')
            && p.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

fn add_keys(
    kind: &str,
    into: &mut BTreeMap<Name, Keys>,
    value: &Value,
    encoded: bool,
) -> Result<Name, String> {
    let text = |pointer| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let name = named(kind, &text("/metadata/name"))?;
    let namespace = namespace(text("/metadata/namespace"))?;
    let mut keys = Keys::new();
    for (field, encoded) in [
        ("data", encoded),
        ("binaryData", true),
        ("stringData", false),
    ] {
        for (key, value) in value
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let wrong =
                |what: &str| format!("{kind} \"{namespace}/{name}\": {field}.{key} is {what}");
            let text = value
                .as_str()
                .ok_or_else(|| wrong("no text; put it in quotes"))?;
            let bytes = if encoded {
                let joined: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                STANDARD
                    .decode(joined)
                    .map_err(|_| wrong("not base64; encode it, or use stringData"))?
            } else {
                text.as_bytes().to_vec()
            };
            keys.insert(key.clone(), SecretValue::new(bytes));
        }
    }
    let name = (namespace, name);
    once(kind, into, name.clone(), keys)?;
    Ok(name)
}

fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Manifests, is_dns_name, split};

    const GOOD: &str = "\
# A comment and nothing else makes no document.
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: here}
spec: {provider: {fake: {data: []}}}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: team}
data: {a: YQ==}
stringData: {b: b}
--- # the last one
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: app}
spec: {secretStoreRef: {name: here}, data: [{secretKey: x, remoteRef: {key: y}}]}
";

    fn read(text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        manifests.add_file(Path::new("a.yaml"), text);
        manifests
    }

    #[test]
    fn documents_are_split_at_markers_and_know_their_line() {
        let lines: Vec<u64> = split(GOOD).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 7, 13]);
    }

    #[test]
    fn reads_what_a_sync_needs_and_fills_in_the_namespace() {
        let manifests = read(GOOD);
        assert_eq!(manifests.problems, []);
        assert_eq!(
            manifests.external_secrets.keys().next().unwrap(),
            &("default".to_owned(), "app".to_owned())
        );
        assert_eq!(manifests.stores.keys().next().unwrap().namespace, "default");
        let keys = &manifests.secrets[&("team".to_owned(), "token".to_owned())];
        assert_eq!(
            (keys["a"].expose(), keys["b"].expose()),
            (b"a".as_slice(), b"b".as_slice())
        );
    }

    #[test]
    fn a_broken_document_is_named_with_its_line_and_its_neighbours_are_read() {
        let broken = format!(
            "{GOOD}---\nkind: Secret\nmetadata: {{name: [\n---\nkind: Secret\nmetadata: {{name: ok}}\n"
        );
        let manifests = read(&broken);
        assert_eq!(manifests.problems.len(), 1, "{:?}", manifests.problems);
        let problem = &manifests.problems[0];
        assert_eq!(problem.origin.document, 4);
        assert!((19..=21).contains(&problem.origin.line), "{problem:?}");
        assert!(
            manifests
                .secrets
                .contains_key(&("default".to_owned(), "ok".to_owned()))
        );
        assert_eq!(manifests.external_secrets.len(), 1);
    }

    #[test]
    fn no_problem_shows_a_value() {
        for text in [
            "kind: Secret\nmetadata: {name: s}\ndata: {a: hunter2-hunter2}\n",
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: s}\nspec: hunter2\n",
            "kind: Secret\nmetadata: {name: s}\nstringData: {a: \"hunter2\n",
            "kind: Secret\nmetadata: {name: s}\nstringData:\n  a: hunter2: x\n",
            "hunter2\n",
        ] {
            let manifests = read(text);
            assert_eq!(manifests.problems.len(), 1, "{text}");
            assert!(
                !manifests.problems[0].failure.public.contains("hunter2"),
                "{:?}",
                manifests.problems
            );
        }
    }

    #[test]
    fn an_object_that_stands_twice_and_an_old_version_are_problems() {
        let twice = read(&format!("{GOOD}---\n{GOOD}"));
        assert_eq!(twice.problems.len(), 3, "{:?}", twice.problems);
        let old = read(
            "apiVersion: external-secrets.io/v1beta1\nkind: SecretStore\nmetadata: {name: s}\nspec: {provider: {x: {}}}\n",
        );
        assert!(
            old.problems[0]
                .failure
                .public
                .contains("external-secrets.io/v1,"),
            "{:?}",
            old.problems
        );
    }

    #[test]
    fn other_kinds_are_noted_and_lists_are_opened() {
        let list = "kind: List\nitems:\n- kind: Deployment\n  metadata: {name: d}\n- kind: ConfigMap\n  metadata: {name: c}\n  data: {k: v}\n";
        let manifests = read(list);
        assert_eq!(
            manifests
                .ignored
                .iter()
                .map(|i| i.kind.as_str())
                .collect::<Vec<_>>(),
            ["Deployment"]
        );
        assert_eq!(manifests.config_maps.len(), 1);
    }

    #[test]
    fn plugins_and_grants_are_read_and_what_is_wrong_with_them_is_told() {
        let plugin = "apiVersion: postern.dev/v1alpha1\nkind: Plugin\nmetadata: {name: a}\n\
            spec: {serves: [a], source: {file: {path: a.wasm}}}\n";
        let grant = "apiVersion: postern.dev/v1alpha1\nkind: PluginGrant\nmetadata: {name: a}\nspec: {plugin: a}\n";
        let good = read(&format!("{plugin}---\n{grant}"));
        assert_eq!((good.problems.len(), good.ignored.len()), (0, 0));
        assert_eq!((good.plugins.len(), good.grants.len()), (1, 1));
        for (text, said) in [
            (
                format!("{plugin}---\n{plugin}"),
                "Plugin \"a\" stands in the folder twice",
            ),
            (
                format!("{grant}---\n{grant}"),
                "PluginGrant \"a\" stands in the folder twice",
            ),
            (
                grant.replace("{plugin: a}", "{hosts: [b]}"),
                "does not say for whom",
            ),
            (
                plugin.replace("v1alpha1", "v9"),
                "must be postern.dev/v1alpha1",
            ),
            (
                plugin.replace("serves: [a], ", ""),
                "does not fit its schema",
            ),
            (
                plugin.replace("name: a", "name: ../a"),
                "no valid metadata.name",
            ),
        ] {
            let wrong = read(&text);
            let [problem] = wrong.problems.as_slice() else {
                panic!("{said}: {:?}", wrong.problems);
            };
            assert!(problem.failure.public.contains(said), "{problem:?}");
        }
        // The name of the kind is not ours alone.
        let other = read(&plugin.replace("postern.dev", "example.com"));
        assert_eq!((other.plugins.len(), other.ignored.len()), (0, 1));
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for bad in ["", ".", "..", "../x", "a/b", "A", "-a", "a..b"] {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert!(is_dns_name("a.b-c.9"));
    }
}
