//! `postern crds`: the definitions as YAML documents. JSON is YAML, and what is generated is read by machines.

use std::fmt::Write as _;

/// All definitions.
pub fn yaml() -> String {
    let mut text = String::new();
    for crd in postern_api::crds() {
        let _ = writeln!(text, "---\n{crd:#}");
    }
    text
}
