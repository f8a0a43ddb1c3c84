//! `postern crds`: the definitions as YAML documents. JSON is YAML, and what is generated is read by machines.

use std::fmt::Write as _;

use crate::args::Crds;

/// All definitions, and what was asked for beside them.
pub fn yaml(asked: &Crds) -> String {
    let mut documents = if asked.serve_v1beta1 {
        postern_api::crds_with_v1beta1()
    } else {
        postern_api::crds()
    };
    if asked.admission_policy {
        documents.extend(postern_api::admission_policy());
    }
    let mut text = String::new();
    for document in documents {
        let _ = writeln!(text, "---\n{document:#}");
    }
    text
}
