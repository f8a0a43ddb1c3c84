//! The CRDs are accepted by a real API server, by every way in which people apply them.

use std::process::Stdio;

use crate::harness::Stage;

/// What `kubectl apply` keeps in an annotation must fit into it.
const ANNOTATION_LIMIT: usize = 262_144;

#[test]
fn client_side_apply_takes_every_crd() {
    let stage = Stage::shared();
    for crd in postern_api::crds() {
        let text = serde_json::to_string(&crd).unwrap();
        assert!(
            text.len() < ANNOTATION_LIMIT,
            "{} has {} bytes",
            crd["metadata"]["name"],
            text.len()
        );
        let mut child = stage
            .plane
            .kubectl()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
