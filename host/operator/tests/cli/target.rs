//! What `spec.target` means without a cluster.

use crate::common::{Place, fake};

/// The manifest of [`fake`] with a target.
fn with_target(value: &str, target: &str) -> String {
    let manifest = fake(value, "k");
    let manifest = manifest.trim_end().strip_suffix('}').unwrap();
    format!("{manifest}, target: {target}}}\n")
}

fn file(place: &Place, key: &str) -> Option<String> {
    std::fs::read_to_string(place.path(&format!("out/default/app/{key}"))).ok()
}

#[test]
fn merge_adds_to_what_is_there_and_makes_nothing() {
    let place = Place::with(&[("all.yaml", &with_target("one", "{creationPolicy: Merge}"))]);
    let files = ["--to", "out", "--as", "files"];
    let ran = place.sync(&files);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("missing"), "{}", ran.out);
    assert!(!place.path("out").exists());

    let literal = "{template: {templateFrom: [{literal: 'theirs: x'}]}}";
    std::fs::write(place.path("from/all.yaml"), with_target("one", literal)).unwrap();
    let ran = place.sync(&files);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let merge = with_target("two", "{creationPolicy: Merge}");
    std::fs::write(place.path("from/all.yaml"), merge).unwrap();
    place.sync(&files);
    assert_eq!(file(&place, "theirs").as_deref(), Some("x"));
    assert_eq!(file(&place, "password").as_deref(), Some("two"));
    let owner = with_target("two", "{creationPolicy: Owner}");
    std::fs::write(place.path("from/all.yaml"), owner).unwrap();
    place.sync(&files);
    assert_eq!(file(&place, "theirs"), None);
}

#[test]
fn none_reads_and_writes_nothing_and_immutable_keeps_what_is_there() {
    let none = with_target("one", "{creationPolicy: None}");
    let place = Place::with(&[("all.yaml", &none)]);
    let ran = place.sync(&["--to", "out"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("read"), "{}", ran.out);
    assert!(!place.path("out").exists());
    for value in ["one", "two"] {
        let immutable = with_target(value, "{immutable: true}");
        std::fs::write(place.path("from/all.yaml"), immutable).unwrap();
        place.sync(&["--to", "out"]);
        let text = std::fs::read_to_string(place.path("out/default/app.yaml")).unwrap();
        assert!(text.contains("immutable: true\n"), "{text}");
        assert!(text.contains("\"password\": \"b25l\""), "{text}");
    }
}

#[test]
fn templates_come_from_config_maps_and_secrets_of_the_folder() {
    let sources = "kind: ConfigMap\nmetadata: {name: tpl}\ndata: {app.yaml: 'pw: {{ .password }}'}\n---\n\
        kind: Secret\nmetadata: {name: hidden}\nstringData: {pairs: 'url: db://{{ .password }}'}\n";
    let target = "{template: {templateFrom: [{configMap: {name: tpl, items: [{key: app.yaml}]}}, \
        {secret: {name: hidden, items: [{key: pairs, templateAs: KeysAndValues}]}}]}}";
    let place = Place::with(&[
        ("all.yaml", &with_target("one", target)),
        ("tpl.yaml", sources),
    ]);
    let files = ["--to", "out", "--as", "files"];
    let ran = place.sync(&files);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(file(&place, "app.yaml").as_deref(), Some("pw: one"));
    assert_eq!(file(&place, "url").as_deref(), Some("db://one"));
    std::fs::remove_file(place.path("from/tpl.yaml")).unwrap();
    let ran = place.sync(&files);
    assert!(ran.err.contains("PST-1303"), "{}", ran.err);
    assert_eq!(file(&place, "url").as_deref(), Some("db://one"));
}
