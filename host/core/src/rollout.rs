//! How a Plugin comes to serve: from its spec to what to fetch, from what is known to what to do next, and what its status
//! says. Pure; the doors [`Sources`] and [`Revisions`] are implemented by the registry and the runtime.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use postern_api::plugin::{PluginKind, PluginLimits, PullSecretRef};
use postern_api::{PluginSpec, PluginStatus};

use crate::failure::{Code, Failure, Stage};
use crate::go;
use crate::plugin::{Answering, Descriptor, Digest, Revision};
use crate::secret::SecretValue;

/// How often a tag or a file is looked at again, where the spec does not say.
const INTERVAL: Duration = Duration::from_secs(300);
/// No registry is asked more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// A plugin may be given this much memory: eight times the usual, and still eight of them fit into a small node.
const MOST_MEMORY: u64 = 512 << 20;
/// A plugin may be given this much time on a CPU.
const MOST_CPU: Duration = Duration::from_secs(60);

/// A Plugin's spec, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the Plugin.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// How often that is looked at again.
    pub interval: Duration,
    /// What it must be.
    pub kind: PluginKind,
    /// What it must serve.
    pub serves: BTreeSet<String>,
    /// What differs from the usual limits.
    pub limits: Overrides,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An OCI artifact.
    Oci {
        /// `registry/repository:tag` or `…@sha256:…`.
        reference: String,
        /// HTTP without TLS.
        plain_http: bool,
        /// PEM roots beside the system's.
        ca_pem: Option<Vec<u8>>,
        /// The Secret with the registry's credentials.
        pull_secret: Option<PullSecretRef>,
    },
    /// A file in the directory of plugin files.
    File {
        /// Relative path.
        path: String,
        /// The only digest that is accepted.
        pinned: Option<Digest>,
    },
}

/// Limits that a Plugin sets for itself; what is none is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Bytes of linear memory.
    pub memory: Option<usize>,
    /// Time on a CPU.
    pub cpu: Option<Duration>,
    /// HTTP requests.
    pub requests: Option<u32>,
}

impl Wanted {
    /// Reads a spec. Errors name the field.
    pub fn parse(name: &str, spec: &PluginSpec) -> Result<Self, Failure> {
        let wrong = |text: String| {
            Failure::new(
                Stage::Check,
                Code::InvalidSpec,
                format!("Plugin {name}: {text}"),
            )
        };
        let (source, interval) = match (&spec.source.oci, &spec.source.file) {
            (Some(oci), None) => {
                let ca_pem = oci.ca_bundle.as_deref().map(|text| {
                    base64::engine::general_purpose::STANDARD
                        .decode(text.trim())
                        .map_err(|_| wrong("spec.source.oci.caBundle is not base64".to_owned()))
                });
                let source = Source::Oci {
                    reference: oci.reference.clone(),
                    plain_http: oci.plain_http,
                    ca_pem: ca_pem.transpose()?,
                    pull_secret: oci.pull_secret_ref.clone(),
                };
                let interval = oci.interval.as_deref().map(go::parse_duration).transpose();
                (
                    source,
                    interval.map_err(|e| wrong(format!("spec.source.oci.interval: {e}")))?,
                )
            }
            (None, Some(file)) => {
                let pinned = file.digest.as_deref().map(|text| {
                    Digest::parse(text).ok_or_else(|| {
                        wrong("spec.source.file.digest is not sha256: and 64 hex digits".to_owned())
                    })
                });
                let source = Source::File {
                    path: file.path.clone(),
                    pinned: pinned.transpose()?,
                };
                (source, None)
            }
            _ => {
                return Err(wrong(
                    "spec.source needs exactly one of oci and file".to_owned(),
                ));
            }
        };
        if spec.serves.is_empty() {
            return Err(wrong("spec.serves names nothing".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            source,
            interval: interval.unwrap_or(INTERVAL).max(SHORTEST_INTERVAL),
            kind: spec.kind,
            serves: spec.serves.iter().cloned().collect(),
            limits: overrides(spec.limits.as_ref()).map_err(wrong)?,
        })
    }

    /// Whether the component is what the spec says: its kind, and every key.
    pub fn fits(&self, revision: &Revision) -> Result<(), Failure> {
        let wrong = |text: String| {
            Err(Failure::new(
                Stage::Check,
                Code::PluginInvalid,
                format!("Plugin {}: {text}", self.name),
            ))
        };
        let Descriptor {
            name,
            version,
            serves,
            ..
        } = &revision.descriptor;
        let is = if revision.is_engine {
            PluginKind::TemplateEngine
        } else {
            PluginKind::Provider
        };
        if is != self.kind {
            return wrong(format!(
                "{name} {version} is a {is:?}; set spec.kind to {is:?}, or choose another component"
            ));
        }
        match self.serves.iter().find(|key| !serves.contains(key)) {
            Some(key) => wrong(format!(
                "{name} {version} does not serve \"{key}\" of spec.serves; it serves {}",
                serves.join(", ")
            )),
            None => Ok(()),
        }
    }
}

fn overrides(limits: Option<&PluginLimits>) -> Result<Overrides, String> {
    let Some(limits) = limits else {
        return Ok(Overrides::default());
    };
    let memory = limits.memory.as_deref().map(|text| {
        bytes(text)
            .filter(|n| (1..=MOST_MEMORY).contains(n))
            .and_then(|n| usize::try_from(n).ok())
            .ok_or("spec.limits.memory is no size up to 512Mi, such as 64Mi".to_owned())
    });
    let cpu = limits.cpu.as_deref().map(|text| {
        go::parse_duration(text)
            .ok()
            .filter(|d| !d.is_zero() && *d <= MOST_CPU)
            .ok_or("spec.limits.cpu is no duration up to 60s, such as 2s".to_owned())
    });
    Ok(Overrides {
        memory: memory.transpose()?,
        cpu: cpu.transpose()?,
        requests: limits.requests,
    })
}

/// Reads `64Mi`, `1Gi`, `512Ki`, or a number of bytes.
fn bytes(text: &str) -> Option<u64> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let unit = units.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, shift) = match unit {
        Some((suffix, shift)) => (text.strip_suffix(suffix)?, *shift),
        None => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes that have been held against their digest.
#[derive(Clone)]
pub struct Artifact {
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Digest of these bytes.
    pub component: Digest,
    /// Digest of the OCI manifest.
    pub manifest: Option<Digest>,
    /// What was kept of it and was not used, since it had been changed.
    pub damage: Option<Failure>,
}

/// What is kept of a component that was fetched earlier.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Its bytes, if they are there and right.
    pub bytes: Option<Arc<[u8]>>,
    /// Why bytes that are there are not used.
    pub damage: Option<Failure>,
}

/// What the registry's credentials are, where they are not in the source itself.
pub type DockerConfig = Option<SecretValue>;

/// The door to registries and files.
///
/// Guarantees: bytes are handed out only if they have the digest that was asked for.
pub trait Sources: Send + Sync {
    /// What the source names now: the digest of an OCI manifest, or of a file.
    fn resolve<'a>(
        &'a self,
        source: &'a Source,
        credentials: &'a DockerConfig,
    ) -> Answering<'a, Digest>;

    /// The component behind what [`Sources::resolve`] said.
    fn fetch<'a>(
        &'a self,
        source: &'a Source,
        credentials: &'a DockerConfig,
        resolved: &'a Digest,
    ) -> Answering<'a, Artifact>;

    /// A component that was fetched earlier.
    fn recall<'a>(&'a self, component: &'a Digest) -> Answering<'a, Kept>;
}

/// A component to be compiled and linked.
#[derive(Clone)]
pub struct Candidate {
    /// The Plugin's name, for messages.
    pub label: String,
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Limits of its calls.
    pub limits: Overrides,
}

/// A component that was compiled and linked.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The revision.
    pub revision: Arc<Revision>,
    /// Why code that was kept of it was not used.
    pub damage: Option<Failure>,
}

/// What a Plugin serves from now on.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The keys are names of template engines, not keys of stores.
    pub is_engine: bool,
    /// The keys.
    pub keys: BTreeSet<String>,
    /// The revision that serves them, or why none does.
    pub serving: Result<Arc<Revision>, Failure>,
    /// Where none serves: a bundled plugin with the same key does not take over. It must not where the Plugin has served.
    pub exclusive: bool,
}

/// A revision on trial was switched back.
#[derive(Clone, Debug)]
pub struct SwitchedBack {
    /// Name of the Plugin.
    pub plugin: String,
    /// What serves no more.
    pub digest: Digest,
    /// What serves again.
    pub to: Digest,
    /// Why.
    pub failure: Failure,
}

/// Told of each switch back, from within the call that met the failure: it must not block.
pub type OnSwitchedBack = Arc<dyn Fn(SwitchedBack) + Send + Sync>;

/// The door to compiled revisions and to the table of what serves.
pub trait Revisions: Send + Sync {
    /// Compiles (in a child process, unless the code is kept), links and describes. The revision serves nothing yet.
    fn admit<'a>(&'a self, candidate: &'a Candidate) -> Answering<'a, Admitted>;

    /// A revision that was admitted with these limits and has not been forgotten.
    fn admitted(&self, digest: &Digest, limits: &Overrides) -> Option<Arc<Revision>>;

    /// Replaces what a Plugin serves, with one switch: calls under way finish where they began.
    fn serve(&self, plugin: &str, claim: Claim);

    /// A Plugin is gone; a bundled one with its keys takes over.
    fn withdraw(&self, plugin: &str);

    /// Reads and renders of this digest that went well since it was admitted.
    fn successes(&self, digest: &Digest) -> u64;

    /// Forgets compiled revisions from outside, but for these and those that serve.
    fn keep(&self, digests: &BTreeSet<Digest>);

    /// Who is told of switches back.
    fn on_switched_back(&self, told: OnSwitchedBack);
}

/// Which Plugin serves a key that several claim: the older one, by creation time and then by name.
#[must_use]
pub fn rival<'a>(
    wanted: &Wanted,
    created: Option<jiff::Timestamp>,
    others: impl IntoIterator<Item = (&'a Wanted, Option<jiff::Timestamp>)>,
) -> Option<(String, String)> {
    let mine = (created, wanted.name.as_str());
    others
        .into_iter()
        .filter(|(other, at)| other.kind == wanted.kind && (*at, other.name.as_str()) < mine)
        .find_map(|(other, _)| {
            let key = other.serves.intersection(&wanted.serves).next()?;
            Some((key.clone(), other.name.clone()))
        })
}

/// Whether a digest must not serve: it failed when it served, or was rolled back by hand.
#[must_use]
pub fn refusal<'a>(
    status: &'a PluginStatus,
    by_hand: &BTreeSet<String>,
    digest: &Digest,
) -> Option<&'a str> {
    if by_hand.contains(digest.as_str()) {
        return Some(
            "it was rolled back by hand; without it in the annotation postern.dev/refused-digests it may serve again",
        );
    }
    let refused = status.refused.iter().find(|r| r.digest == digest.as_str());
    refused.map(|r| r.message.as_str())
}

/// Digests in the annotation by which an administrator goes back.
#[must_use]
pub fn refused_by_hand(annotation: Option<&str>) -> BTreeSet<String> {
    let digests = annotation.into_iter().flat_map(|text| text.split(','));
    digests
        .map(|d| d.trim().to_owned())
        .filter(|d| Digest::parse(d).is_some())
        .collect()
}

/// The digests to bring back after a start, the best first: the last good one, then what has served before, never one that
/// is refused.
#[must_use]
pub fn comebacks(
    status: &PluginStatus,
    by_hand: &BTreeSet<String>,
) -> Vec<(Digest, Option<Digest>)> {
    let good = status.last_good_digest.iter().map(String::as_str);
    let served = status.history.iter().map(|r| r.digest.as_str());
    let mut seen = BTreeSet::new();
    good.chain(served)
        .filter(|digest| seen.insert(*digest))
        .filter_map(Digest::parse)
        .filter(|digest| refusal(status, by_hand, digest).is_none())
        .map(|digest| {
            let entry = status.history.iter().find(|r| r.digest == digest.as_str());
            let manifest = entry.and_then(|r| r.manifest_digest.as_deref());
            (digest, manifest.and_then(Digest::parse))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use postern_api::plugin::{
        FileSource, OciSource, PluginSource, RefusedRevision, RevisionStatus,
    };

    use super::*;

    fn spec(source: PluginSource) -> PluginSpec {
        PluginSpec {
            source,
            kind: PluginKind::Provider,
            serves: vec!["acme".to_owned()],
            limits: None,
        }
    }

    fn oci(reference: &str) -> PluginSpec {
        spec(PluginSource {
            oci: Some(OciSource {
                reference: reference.to_owned(),
                ..OciSource::default()
            }),
            file: None,
        })
    }

    #[test]
    fn a_wrong_spec_is_told_by_its_field() {
        let file = |digest: &str| {
            spec(PluginSource {
                oci: None,
                file: Some(FileSource {
                    path: "a.wasm".to_owned(),
                    digest: Some(digest.to_owned()),
                }),
            })
        };
        let mut interval = oci("r/a:1");
        interval.source.oci.as_mut().unwrap().interval = Some("soon".to_owned());
        let mut ca = oci("r/a:1");
        ca.source.oci.as_mut().unwrap().ca_bundle = Some("%".to_owned());
        let limits = |memory: Option<&str>, cpu: Option<&str>| PluginSpec {
            limits: Some(PluginLimits {
                memory: memory.map(str::to_owned),
                cpu: cpu.map(str::to_owned),
                requests: None,
            }),
            ..oci("r/a:1")
        };
        let table = [
            (
                spec(PluginSource::default()),
                "spec.source needs exactly one",
            ),
            (file("sha256:12"), "spec.source.file.digest"),
            (interval, "spec.source.oci.interval"),
            (ca, "spec.source.oci.caBundle"),
            (limits(Some("1Ti"), None), "spec.limits.memory"),
            (limits(Some("1Gi"), None), "spec.limits.memory"),
            (limits(None, Some("2h")), "spec.limits.cpu"),
            (
                PluginSpec {
                    serves: vec![],
                    ..oci("r/a:1")
                },
                "spec.serves",
            ),
        ];
        for (spec, field) in table {
            let failure = Wanted::parse("acme", &spec).unwrap_err();
            assert!(failure.public.contains(field), "{}", failure.public);
        }
        let good = Wanted::parse("acme", &limits(Some("96Mi"), Some("500ms"))).unwrap();
        assert_eq!(good.limits.memory, Some(96 << 20));
        assert_eq!(good.interval, INTERVAL);
    }

    #[test]
    fn the_older_of_two_plugins_serves_a_key() {
        let wanted = |name: &str| Wanted::parse(name, &oci("r/a:1")).unwrap();
        let at = |second| Some(jiff::Timestamp::from_second(second).unwrap());
        let (a, b) = (wanted("a"), wanted("b"));
        assert_eq!(
            rival(&b, at(2), [(&a, at(1))]),
            Some(("acme".to_owned(), "a".to_owned()))
        );
        assert_eq!(rival(&a, at(1), [(&b, at(2))]), None);
        assert_eq!(
            rival(&b, at(1), [(&a, at(1))]),
            Some(("acme".to_owned(), "a".to_owned()))
        );
        let engine = Wanted {
            kind: PluginKind::TemplateEngine,
            ..wanted("a")
        };
        assert_eq!(rival(&b, at(2), [(&engine, at(1))]), None);
    }

    #[test]
    fn after_a_start_the_last_good_digest_comes_first_and_a_refused_one_never() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let entry = |text: &str| RevisionStatus {
            digest: digest(text).as_str().to_owned(),
            ..RevisionStatus::default()
        };
        let status = PluginStatus {
            last_good_digest: Some(digest("2").as_str().to_owned()),
            history: vec![entry("3"), entry("2"), entry("1")],
            refused: vec![RefusedRevision {
                digest: digest("3").as_str().to_owned(),
                ..RefusedRevision::default()
            }],
            ..PluginStatus::default()
        };
        let back: Vec<_> = comebacks(&status, &BTreeSet::new())
            .into_iter()
            .map(|(d, _)| d)
            .collect();
        assert_eq!(back, [digest("2"), digest("1")]);
        let by_hand = refused_by_hand(Some(&format!("{}, junk", digest("2").as_str())));
        let back: Vec<_> = comebacks(&status, &by_hand)
            .into_iter()
            .map(|(d, _)| d)
            .collect();
        assert_eq!(back, [digest("1")]);
    }
}
