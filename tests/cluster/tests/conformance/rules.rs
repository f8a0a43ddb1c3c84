//! The rules beside the cases that prove them: each rule has a case, each case a rule, and the page for users is current.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use crate::{case, root};

/// One group of `rules.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    title: String,
    /// Name of a rule -> what is so.
    rules: BTreeMap<String, String>,
}

#[test]
fn every_rule_is_proven_by_a_case_and_the_page_says_which() {
    let file = root().join("rules.yaml");
    let groups: Vec<Group> = case::yaml(&std::fs::read_to_string(&file).unwrap(), &file);
    let cases = case::all(&root());
    let known: Vec<&String> = groups.iter().flat_map(|g| g.rules.keys()).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        if case.timeline.rules.is_empty() {
            wrong.push(format!("{} proves no rule", case.name));
        }
        for rule in case.timeline.rules.iter().filter(|r| !known.contains(r)) {
            wrong.push(format!(
                "{} names the rule {rule}, which is not in rules.yaml",
                case.name
            ));
        }
    }
    let proves = |rule: &str| -> Vec<&str> {
        let cases = cases
            .iter()
            .filter(|c| c.timeline.rules.iter().any(|r| r == rule));
        cases.map(|c| c.name.as_str()).collect()
    };
    for rule in known.iter().filter(|r| proves(r).is_empty()) {
        wrong.push(format!("no case proves the rule {rule}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut page = page(&groups, &proves);
    page.push_str(
        "\n## Cases in which Postern is meant to differ\n\n| case | how, and why |\n|---|---|\n",
    );
    for case in &cases {
        if let Some(how) = &case.timeline.differs {
            let _ = writeln!(page, "| `{}` | {} |", case.name, how.trim());
        }
    }
    current(&page);
}

fn page<'a>(groups: &[Group], proves: &dyn Fn(&str) -> Vec<&'a str>) -> String {
    let mut page = String::from(
        "# What behaves as with the External Secrets Operator\n\n\
         Each rule, and the cases in `tests/conformance` that prove it on a real control plane. Made from\n\
         `tests/conformance/rules.yaml`; what is meant to be otherwise stands in [differences.md](differences.md).\n",
    );
    for group in groups {
        let _ = write!(
            page,
            "\n## {}\n\n| rule | proven by |\n|---|---|\n",
            group.title
        );
        for (name, what) in &group.rules {
            let cases: Vec<String> = proves(name).iter().map(|c| format!("`{c}`")).collect();
            let _ = writeln!(page, "| {what} | {} |", cases.join(", "));
        }
    }
    page
}

fn current(page: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap_or_default(),
        page,
        "docs/compatibility.md is not current; BLESS=1 writes it"
    );
}
