//! The metadata server of a node: who the operator runs as, in which project and cluster. The host opens its address with
//! `--ambient-identity` alone.

use postern_plugin_shared::google::{Token, granted, is_plain};
use postern_sdk::{Failure, Host, HttpRequest, HttpResponse};

use crate::config::Places;

/// The project that the node is in.
pub const PROJECT: &str = "project/project-id";
/// The location of the cluster that the node is of.
pub const CLUSTER_LOCATION: &str = "instance/attributes/cluster-location";
/// The name of it.
pub const CLUSTER_NAME: &str = "instance/attributes/cluster-name";

/// A token of the operator's own service account.
///
/// # Errors
/// Why there is none.
pub fn token(host: &dyn Host, places: &Places) -> Result<Token, Failure> {
    let response = ask(host, places, "instance/service-accounts/default/token")?;
    if response.status == 404 {
        return Err(Failure::invalid_config(
            "the operator's node has no service account: give its pool one, or name an authentication in the store's auth",
        ));
    }
    granted(&response, "the metadata server", &[])
}

/// A fact of the node.
///
/// # Errors
/// Why it is not known.
pub fn fact(host: &dyn Host, places: &Places, name: &str) -> Result<String, Failure> {
    let response = ask(host, places, name)?;
    let text = std::str::from_utf8(&response.body)
        .unwrap_or_default()
        .trim();
    if response.status == 200 && is_plain(text, "-.:_") {
        return Ok(text.to_owned());
    }
    let status = response.status;
    Err(Failure::unavailable(format!(
        "the metadata server does not say {name} (status {status}); name it in the store"
    )))
}

fn ask(host: &dyn Host, places: &Places, path: &str) -> Result<HttpResponse, Failure> {
    host.send(&HttpRequest {
        method: "GET".to_owned(),
        url: format!("{}/computeMetadata/v1/{path}", places.metadata.base),
        headers: vec![("metadata-flavor".to_owned(), "Google".to_owned())],
        ..HttpRequest::default()
    })
}
