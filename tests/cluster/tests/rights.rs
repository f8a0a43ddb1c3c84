//! The controller with exactly the rights that the chart gives it: all that it does goes through, so none is missing, and
//! the audit log of the API server shows that it has used every one, so none is too many.
//!
//! A control plane of its own, because another controller would take some of the work, and because this API server keeps
//! a record. The tests run one after another for the same reason.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "rights/installed.rs"]
mod installed;
#[path = "rights/record.rs"]
mod record;
#[path = "rights/scenario.rs"]
mod scenario;

use installed::Installed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_in_the_cluster_is_used_and_none_is_missing() {
    let mut installed = Installed::new("rights", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    installed.start(None, folder.path()).await;
    scenario::of_one_namespace(&installed).await;
    scenario::of_the_cluster(&installed, folder.path()).await;
    record::assert_exact(&installed, &[]).await;
    installed.stop().await;
    installed.uninstall_keeps_what_people_have().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_in_one_namespace_is_used_and_none_is_missing() {
    let mut installed = Installed::new("scoped", &["scopedRBAC=true"]).await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = installed.namespace.name().to_owned();
    installed.start(Some(namespace), folder.path()).await;
    scenario::of_one_namespace(&installed).await;
    // Whoever has a Role only cannot see whether the CRDs are ours; that is said in the log, and no obstacle.
    record::assert_exact(
        &installed,
        &["get customresourcedefinitions.apiextensions.k8s.io"],
    )
    .await;
    installed.stop().await;
}
