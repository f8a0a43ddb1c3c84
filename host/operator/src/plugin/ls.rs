//! `postern plugin ls`: the Plugins of the cluster, where each stands, and what is bundled with this binary. What the
//! operator in the cluster has bundled is another matter where it is of another version.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use postern_api::plugin::PluginKind;
use postern_api::{Condition, Plugin, PluginStatus, names};
use postern_controller::{Hand, Listing};
use postern_core::failure::one_line;
use postern_core::plugin::Revision;
use postern_core::rollout;
use postern_runtime::Runtime;
use serde_json::{Value, json};

use super::table::{self, Column};
use crate::args::{Listed, Ls};
use crate::{cluster, plugins, print, say};

/// The condition that says whether a revision serves; all others speak of the one that the source names.
const ACTIVE: &str = "Active";
/// Hex digits of a digest that are told from one another in a table.
const SHORT: usize = "sha256:".len() + 12;

/// Runs the command.
pub async fn run(ls: Ls) -> anyhow::Result<ExitCode> {
    let hand = Hand::new(cluster::client(cluster::config().await?)?);
    let listing = hand.list().await?;
    if listing.stores.is_none() {
        say(
            "note: your role may not list the stores of all namespaces, so it is not said how many each plugin serves",
        );
    }
    let all = All {
        bundled: match ls.output {
            Listed::Name => Vec::new(),
            _ => bundled(&ls).await.unwrap_or_else(|error| {
                // The cluster's Plugins are what was asked for.
                say(&format!(
                    "warning: what is bundled is not listed: {error:#}"
                ));
                Vec::new()
            }),
        },
        listing,
    };
    print(&match ls.output {
        Listed::Text => all.table(false),
        Listed::Wide => all.table(true),
        Listed::Json => format!("{:#}\n", all.document()),
        // JSON is YAML.
        Listed::Yaml => format!("---\n{:#}\n", all.document()),
        Listed::Name => all.names(),
    })
}

async fn bundled(ls: &Ls) -> anyhow::Result<Vec<Arc<Revision>>> {
    let Some(dir) = plugins::bundled(ls.plugins_dir.as_deref())? else {
        return Ok(Vec::new());
    };
    let runtime = Runtime::builder().build()?;
    let loaded = runtime.load_bundled(&dir).await;
    loaded.with_context(|| format!("loading the bundled plugins of {}", dir.display()))
}

struct All {
    listing: Listing,
    bundled: Vec<Arc<Revision>>,
}

/// A digest that does not serve, and who said so.
struct Refused<'a> {
    digest: String,
    by: &'static str,
    message: Option<&'a str>,
}

impl All {
    /// How many stores name one of these keys; none where that is not known, or where it is no matter of stores.
    fn naming<'a>(
        &self,
        is_engine: bool,
        keys: impl IntoIterator<Item = &'a String>,
    ) -> Option<usize> {
        let stores = self.listing.stores.as_ref().filter(|_| !is_engine)?;
        Some(keys.into_iter().filter_map(|key| stores.get(key)).sum())
    }

    /// Keys that Plugins serve now, and that the bundled ones with the same keys do not.
    fn taken(&self) -> BTreeMap<(bool, &String), &str> {
        let serving = self.listing.plugins.iter().filter(|p| active(p).is_some());
        serving
            .flat_map(|p| {
                p.spec
                    .serves
                    .iter()
                    .map(|key| ((is_engine(p), key), name(p)))
            })
            .collect()
    }

    /// Keys that a bundled plugin serves, and how many stores with them.
    fn left<'a>(&self, revision: &'a Revision) -> (Vec<&'a String>, Option<usize>) {
        let taken = self.taken();
        let keys = revision.descriptor.serves.iter();
        let left: Vec<&String> = keys
            .filter(|key| !taken.contains_key(&(revision.is_engine, *key)))
            .collect();
        let naming = self.naming(revision.is_engine, left.iter().copied());
        (left, naming)
    }

    fn names(&self) -> String {
        let plugins = self.listing.plugins.iter();
        plugins.map(|p| format!("plugin/{}\n", name(p))).collect()
    }

    fn table(&self, wide: bool) -> String {
        let mut rows: Vec<Vec<String>> = self
            .listing
            .plugins
            .iter()
            .map(|plugin| self.row(plugin, wide))
            .collect();
        rows.extend(self.bundled.iter().map(|r| self.bundled_row(r, wide)));
        let heads = [
            "NAME", "KIND", "SERVES", "SOURCE", "VERSION", "DIGEST", "STORES", "STATE", "REFUSED",
            "MESSAGE",
        ];
        let shown = if wide { heads.len() } else { heads.len() - 1 };
        let columns: Vec<Column> = heads[..shown].iter().map(|head| Column(head)).collect();
        table::of(&columns, rows)
    }

    fn row(&self, plugin: &Plugin, wide: bool) -> Vec<String> {
        let status = status(plugin);
        let active = status.and_then(|s| s.active.as_ref());
        let refused: Vec<String> = refused(plugin)
            .iter()
            .map(|r| cut(&r.digest, wide))
            .collect();
        let mut row = vec![
            name(plugin).to_owned(),
            kind(is_engine(plugin)).to_owned(),
            plugin.spec.serves.join(","),
            source(plugin),
            active.and_then(|a| a.version.clone()).unwrap_or_default(),
            active.map(|a| cut(&a.digest, wide)).unwrap_or_default(),
            number(self.served(plugin)),
            state(plugin),
            refused.join(","),
        ];
        if wide {
            row.push(message(plugin));
        }
        row
    }

    fn served(&self, plugin: &Plugin) -> Option<usize> {
        let naming = self.naming(is_engine(plugin), &plugin.spec.serves)?;
        Some(if active(plugin).is_some() { naming } else { 0 })
    }

    fn bundled_row(&self, revision: &Revision, wide: bool) -> Vec<String> {
        let d = &revision.descriptor;
        let (left, stores) = self.left(revision);
        let state = if left.is_empty() {
            "Replaced"
        } else {
            "Serving"
        };
        let mut row = vec![
            d.name.clone(),
            kind(revision.is_engine).to_owned(),
            d.serves.join(","),
            format!("bundled with postern {}", env!("CARGO_PKG_VERSION")),
            d.version.clone(),
            cut(revision.digest.as_str(), wide),
            number(stores),
            state.to_owned(),
            String::new(),
        ];
        if wide {
            let taken = self.taken();
            let by: BTreeSet<&str> = d
                .serves
                .iter()
                .filter_map(|key| taken.get(&(revision.is_engine, key)).copied())
                .collect();
            let by: Vec<String> = by
                .iter()
                .map(|name| format!("Plugin {name} serves instead"))
                .collect();
            row.push(by.join(", "));
        }
        row
    }

    /// Of the schema `docs/schemas/plugin-ls.json`.
    fn document(&self) -> Value {
        let plugins: Vec<Value> = self
            .listing
            .plugins
            .iter()
            .map(|p| self.plugin(p))
            .collect();
        let bundled: Vec<Value> = self.bundled.iter().map(|r| self.inside(r)).collect();
        json!({"schemaVersion": 1, "plugins": plugins, "bundled": bundled})
    }

    fn plugin(&self, plugin: &Plugin) -> Value {
        let refused: Vec<Value> = refused(plugin)
            .iter()
            .map(|r| json!({"digest": r.digest, "by": r.by, "message": r.message}))
            .collect();
        let status = status(plugin);
        let mut document = json!({
            "name": name(plugin),
            "kind": kind(is_engine(plugin)),
            "serves": plugin.spec.serves,
            "source": source(plugin),
            "observed": status.is_some(),
            "state": state(plugin),
            "message": message(plugin),
            "refused": refused,
        });
        if let Some(active) = status.and_then(|s| s.active.as_ref()) {
            document["active"] = json!({"digest": active.digest, "manifestDigest": active.manifest_digest, "version": active.version});
        }
        if let Some(stopped) = stopped(plugin) {
            document["stopped"] = json!({"step": stopped.type_, "reason": stopped.reason, "message": stopped.message});
        }
        if let Some(naming) = self.naming(is_engine(plugin), &plugin.spec.serves) {
            document["stores"] = json!({"naming": naming, "served": self.served(plugin)});
        }
        document
    }

    fn inside(&self, revision: &Revision) -> Value {
        let d = &revision.descriptor;
        let (left, stores) = self.left(revision);
        let mut document = json!({
            "name": d.name,
            "version": d.version,
            "kind": kind(revision.is_engine),
            "serves": d.serves,
            "digest": revision.digest.as_str(),
            "replaced": left.is_empty(),
        });
        if let Some(served) = stores {
            let naming = self.naming(revision.is_engine, &d.serves);
            document["stores"] = json!({"naming": naming, "served": served});
        }
        document
    }
}

fn name(plugin: &Plugin) -> &str {
    plugin.metadata.name.as_deref().unwrap_or_default()
}

fn is_engine(plugin: &Plugin) -> bool {
    plugin.spec.kind == PluginKind::TemplateEngine
}

const fn kind(is_engine: bool) -> &'static str {
    if is_engine {
        "template-engine"
    } else {
        "provider"
    }
}

/// The status, if the operator has looked at this spec.
fn status(plugin: &Plugin) -> Option<&PluginStatus> {
    let status = plugin.status.as_ref()?;
    status.conditions.as_ref().map(|_| status)
}

fn active(plugin: &Plugin) -> Option<&str> {
    let active = status(plugin)?.active.as_ref()?;
    Some(active.digest.as_str())
}

fn condition(plugin: &Plugin, test: impl Fn(&Condition) -> bool) -> Option<&Condition> {
    let all = plugin.status.as_ref()?.conditions.as_ref()?;
    all.iter().find(|condition| test(condition))
}

/// The step at which the revision that the source names has stopped.
fn stopped(plugin: &Plugin) -> Option<&Condition> {
    condition(plugin, |c| c.type_ != ACTIVE && c.status == "False")
}

/// `Serving`, or `LastGood (Granted: AwaitingGrant)`.
fn state(plugin: &Plugin) -> String {
    let reason = |c: &Condition| c.reason.clone().unwrap_or_default();
    let Some(serving) = condition(plugin, |c| c.type_ == ACTIVE) else {
        return "Unseen".to_owned();
    };
    match stopped(plugin) {
        Some(stopped) if serving.status == "True" => {
            format!(
                "{} ({}: {})",
                reason(serving),
                stopped.type_,
                reason(stopped)
            )
        }
        Some(stopped) => format!("{}: {}", stopped.type_, reason(stopped)),
        None => reason(serving),
    }
}

/// What the condition says that tells most.
fn message(plugin: &Plugin) -> String {
    let told = stopped(plugin).or_else(|| condition(plugin, |c| c.type_ == ACTIVE));
    match told {
        Some(condition) => condition.message.clone().unwrap_or_default(),
        None => "no operator has looked at it yet; see whether one runs that serves all namespaces"
            .to_owned(),
    }
}

fn source(plugin: &Plugin) -> String {
    let source = &plugin.spec.source;
    match (&source.oci, &source.file) {
        (Some(oci), _) => oci.reference.clone(),
        (None, Some(file)) => format!("file {}", file.path),
        (None, None) => String::new(),
    }
}

fn refused(plugin: &Plugin) -> Vec<Refused<'_>> {
    let annotations = plugin.metadata.annotations.as_ref();
    let annotation = annotations.and_then(|all| all.get(names::ANNOTATION_REFUSED_DIGESTS));
    let by_hand = rollout::refused_by_hand(annotation.map(String::as_str));
    let by_hand = by_hand.into_iter().map(|digest| Refused {
        digest,
        by: "hand",
        message: None,
    });
    let failed = plugin.status.iter().flat_map(|s| &s.refused);
    let failed = failed.map(|r| Refused {
        digest: r.digest.clone(),
        by: "failure",
        message: Some(r.message.as_str()),
    });
    by_hand.chain(failed).collect()
}

fn cut(digest: &str, wide: bool) -> String {
    let end = if wide { digest.len() } else { SHORT };
    one_line(digest.get(..end).unwrap_or(digest), 80)
}

fn number(of: Option<usize>) -> String {
    of.map(|n| n.to_string()).unwrap_or_default()
}
