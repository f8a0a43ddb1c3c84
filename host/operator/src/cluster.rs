//! The way to the cluster that a command works with.

use postern_core::failure::{Code, Failure, Stage};

/// What `KUBECONFIG`, `~/.kube/config` or the pod's service account say.
pub async fn config() -> anyhow::Result<kube::Config> {
    kube::Config::infer().await.map_err(|error| {
        anyhow::Error::new(error).context(unavailable(
            "no cluster was found; set KUBECONFIG, or run in a pod with a service account",
        ))
    })
}

/// A client of that cluster. Nothing is asked yet.
pub fn client(config: kube::Config) -> anyhow::Result<kube::Client> {
    kube::Client::try_from(config).map_err(|error| {
        anyhow::Error::new(error).context(unavailable(
            "no client can be made from the kubeconfig; see whether kubectl works with it",
        ))
    })
}

fn unavailable(text: &str) -> Failure {
    Failure::new(Stage::Check, Code::ClusterUnavailable, text)
}
