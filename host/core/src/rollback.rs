//! Going back by hand: which digest an administrator refuses, what serves then, and what the annotation must say. Pure.

use postern_api::{PluginStatus, names};

use crate::failure::{Code, Failure, Stage};
use crate::plugin::Digest;
use crate::rollout::{comebacks, refused_by_hand};

/// A digest, with the version that it said of itself where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The component's.
    pub digest: Digest,
    /// Its own word.
    pub version: Option<String>,
}

/// The active revision is refused, and an older one serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// What serves no more.
    pub refused: Version,
    /// What serves then.
    pub serves: Version,
    /// What the annotation must say; none where it says so already.
    pub annotation: Option<String>,
}

/// The digest that was refused last may serve again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// What may serve again, if the source still names it.
    pub allowed: Version,
    /// What the annotation must say; none where nothing is left of it.
    pub annotation: Option<String>,
}

/// Refuses what serves now. Errors: nothing serves, or nothing is left that could.
pub fn rollback(
    name: &str,
    status: &PluginStatus,
    annotation: Option<&str>,
) -> Result<Rollback, Failure> {
    let active = status
        .active
        .as_ref()
        .and_then(|a| Digest::parse(&a.digest));
    let Some(active) = active else {
        return Err(no_way(format!(
            "Plugin {name} has no active revision that could be refused; see its conditions: `postern plugin ls -o wide`"
        )));
    };
    let mut refused = refused_by_hand(annotation);
    let said = !refused.insert(active.as_str().to_owned());
    let Some((digest, _)) = comebacks(status, &refused).into_iter().next() else {
        return Err(no_way(format!(
            "Plugin {name} has served nothing but {} that may serve again, so there is no revision to go back to; push a good one under its tag, or let spec.source name one",
            active.as_str()
        )));
    };
    Ok(Rollback {
        annotation: (!said).then(|| {
            entries(annotation, &active)
                .chain([active.as_str()])
                .collect::<Vec<_>>()
                .join(",")
        }),
        refused: version(status, active.clone()),
        serves: version(status, digest),
    })
}

/// Takes the last digest out of the annotation. Errors: none stands there.
pub fn undo(name: &str, status: &PluginStatus, annotation: Option<&str>) -> Result<Undo, Failure> {
    let last = annotation
        .into_iter()
        .flat_map(|text| text.split(','))
        .filter_map(|entry| Digest::parse(entry.trim()))
        .next_back();
    let Some(last) = last else {
        return Err(no_way(format!(
            "Plugin {name} has no digest that was refused by hand: its annotation {} names none",
            names::ANNOTATION_REFUSED_DIGESTS
        )));
    };
    let rest: Vec<&str> = entries(annotation, &last).collect();
    Ok(Undo {
        annotation: (!rest.is_empty()).then(|| rest.join(",")),
        allowed: version(status, last),
    })
}

/// What stands in the annotation beside one digest, also what is no digest: it is not ours to tidy up.
fn entries<'a>(annotation: Option<&'a str>, but: &'a Digest) -> impl Iterator<Item = &'a str> {
    let all = annotation.into_iter().flat_map(|text| text.split(','));
    all.map(str::trim)
        .filter(move |entry| !entry.is_empty() && *entry != but.as_str())
}

fn version(status: &PluginStatus, digest: Digest) -> Version {
    let known = status.active.iter().chain(&status.history);
    let version = known
        .filter(|revision| revision.digest == digest.as_str())
        .find_map(|revision| revision.version.clone());
    Version { digest, version }
}

fn no_way(text: String) -> Failure {
    Failure::new(Stage::Check, Code::NoWayBack, text)
}

#[cfg(test)]
mod tests {
    use postern_api::plugin::{RefusedRevision, RevisionStatus};

    use super::*;

    fn digest(of: &str) -> String {
        Digest::of(of.as_bytes()).as_str().to_owned()
    }

    fn revision(of: &str) -> RevisionStatus {
        RevisionStatus {
            digest: digest(of),
            version: Some(of.to_owned()),
            ..RevisionStatus::default()
        }
    }

    /// Served in this order, the last one serves now and is good.
    fn served(versions: &[&str]) -> PluginStatus {
        let last = versions.last().map(|v| revision(v));
        PluginStatus {
            last_good_digest: last.as_ref().map(|r| r.digest.clone()),
            active: last,
            history: versions.iter().rev().map(|v| revision(v)).collect(),
            ..PluginStatus::default()
        }
    }

    #[test]
    fn what_serves_is_refused_and_what_served_before_serves() {
        let back = rollback("acme", &served(&["1", "2"]), None).unwrap();
        assert_eq!(back.refused.version.as_deref(), Some("2"));
        assert_eq!(back.serves.version.as_deref(), Some("1"));
        assert_eq!(back.annotation, Some(digest("2")));
    }

    #[test]
    fn what_stands_in_the_annotation_stays_and_a_refused_one_does_not_come_back() {
        let before = format!("{}, a note", digest("2"));
        let back = rollback("acme", &served(&["1", "2", "3"]), Some(&before)).unwrap();
        assert_eq!(back.serves.version.as_deref(), Some("1"));
        assert_eq!(
            back.annotation,
            Some(format!("{},a note,{}", digest("2"), digest("3")))
        );
    }

    #[test]
    fn said_twice_is_written_once() {
        let said = digest("2");
        let back = rollback("acme", &served(&["1", "2"]), Some(&said)).unwrap();
        assert_eq!(
            (back.annotation, back.serves.version.as_deref()),
            (None, Some("1"))
        );
    }

    #[test]
    fn without_a_revision_to_go_back_to_it_says_so() {
        let mut failed = served(&["1", "2"]);
        failed.refused = vec![RefusedRevision {
            digest: digest("1"),
            ..RefusedRevision::default()
        }];
        for (status, text) in [
            (PluginStatus::default(), "no active revision"),
            (served(&["1"]), "no revision to go back to"),
            (failed, "no revision to go back to"),
        ] {
            let failure = rollback("acme", &status, None).unwrap_err();
            assert_eq!(failure.code, Code::NoWayBack);
            assert!(
                failure.public.contains(text) && failure.public.contains("acme"),
                "{failure}"
            );
        }
    }

    #[test]
    fn the_last_refusal_is_taken_back_first() {
        let (one, two) = (digest("1"), digest("2"));
        let status = served(&["1", "2", "3"]);
        let undone = undo("acme", &status, Some(&format!("{two},note,{one}"))).unwrap();
        assert_eq!(undone.allowed.version.as_deref(), Some("1"));
        assert_eq!(undone.annotation, Some(format!("{two},note")));
        let undone = undo("acme", &status, Some(&two)).unwrap();
        assert_eq!(undone.annotation, None);
        let failure = undo("acme", &status, Some("note")).unwrap_err();
        assert_eq!(failure.code, Code::NoWayBack);
    }
}
