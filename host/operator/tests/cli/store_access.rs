//! The example of `docs/store-access.md`, and what closes stores in a folder.

use serde_json::Value;

use crate::common::{Place, Ran, root};

/// The blocks of one language of the page.
fn blocks(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/store-access.md")).unwrap();
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn file(place: &Place, path: &str) -> Option<String> {
    std::fs::read_to_string(place.path(&format!("out/{path}"))).ok()
}

fn sync(place: &Place, more: &[&str]) -> Ran {
    let mut arguments = vec!["--to", "out", "--as", "files", "-o", "json"];
    arguments.extend(more);
    place.sync(&arguments)
}

fn said(ran: &Ran) -> String {
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    document.to_string().replace("\\\"", "\"")
}

#[test]
fn the_example_reads_what_is_allowed_and_is_refused_the_rest() {
    let place = Place::with(&[("all.yaml", &blocks("yaml").join("---\n"))]);
    let ran = sync(&place, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(
        file(&place, "payments/allowed/password").as_deref(),
        Some("not-a-secret")
    );
    assert_eq!(
        file(&place, "payments/allowed/card").as_deref(),
        Some("not-a-card")
    );
    assert_eq!(file(&place, "payments/refused/password"), None);
    let refused = blocks("text");
    assert!(said(&ran).contains(refused[0].trim()), "{ran:?}");
    // The record of it is there though only warnings are logged.
    for field in [
        "audit",
        "decision",
        "denied",
        "team-shop/db/password",
        "PST-1503",
    ] {
        assert!(ran.err.contains(field), "{field}: {}", ran.err);
    }
    assert!(!ran.err.contains("not-yours") && !ran.out.contains("not-yours"));
}

#[test]
fn what_is_wrong_with_an_access_closes_its_store_in_a_folder_too() {
    let yaml = blocks("yaml");
    for (access, text) in [
        (
            yaml[0].replace("{{namespace}}", "{{name}}"),
            "a placeholder is",
        ),
        (
            yaml[0].replace("rules:", "ruls:"),
            "does not fit its schema",
        ),
        (yaml[0].replace("v1alpha1", "v9"), "does not fit its schema"),
        (
            yaml[0].replace("keys:", "keys: ["),
            "does not fit its schema",
        ),
        (format!("{0}---\n{0}", yaml[0]), "does not fit its schema"),
    ] {
        let place = Place::with(&[("all.yaml", &format!("{access}---\n{}", yaml[1]))]);
        let ran = sync(&place, &[]);
        assert_eq!(file(&place, "payments/allowed/password"), None, "{access}");
        let said = said(&ran);
        assert!(
            said.contains("is closed, because") && said.contains(text),
            "{access}{said}"
        );
    }
}

#[test]
fn a_flag_requires_an_access_for_everything() {
    let yaml = blocks("yaml");
    let place = Place::with(&[("all.yaml", &yaml[1])]);
    let ran = sync(&place, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let place = Place::with(&[("all.yaml", &yaml[1])]);
    let ran = sync(&place, &["--require-store-access"]);
    assert!(
        said(&ran).contains("reads only what a ClusterStoreAccess allows"),
        "{ran:?}"
    );
    assert_eq!(file(&place, "payments/allowed/password"), None);
}
