//! Secret Manager as a call sees it: whose secrets, where, and with which token. Builds requests; sends none.

use postern_plugin_shared::encode;
use postern_plugin_shared::google::is_plain;
use postern_sdk::{Context, Failure, HttpRequest};

use crate::config::Config;
use crate::raw::Selection;
use crate::session::Kept;
use crate::wire::get;

/// Names and ids that may stand in a path as they are: what Secret Manager takes for secrets, versions and aliases.
const OTHERS: &str = "-_";
/// The longest id of a secret.
const LONGEST: usize = 255;
/// Secrets of a page: with names and labels alone, that many fit into one answer.
const PAGE: usize = 1000;

/// Where secrets are.
pub struct Server {
    base: String,
    parent: String,
    /// The access token.
    pub token: String,
    /// What is read where the latest version cannot be.
    pub selection: Selection,
}

impl Server {
    /// The server of this call.
    ///
    /// # Errors
    /// `invalid-config` where nobody names the project.
    pub fn of(config: &Config, context: &Context) -> Result<Self, Failure> {
        let kept = Kept::of(context)?;
        let project = config.project.clone().or(kept.project);
        let project = project.ok_or_else(|| Failure::invalid_config("/projectID: is missing"))?;
        let parent = match &config.location {
            Some(location) => format!("projects/{project}/locations/{location}"),
            None => format!("projects/{project}"),
        };
        Ok(Self {
            base: format!("{}/v1", config.places.secret_manager.base),
            parent,
            token: kept.token,
            selection: config.selection,
        })
    }

    /// The project, and the location where there is one.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The resource of a secret.
    ///
    /// # Errors
    /// `invalid-request` for a key that is no id, and might lead to another project.
    pub fn secret(&self, key: &str) -> Result<String, Failure> {
        if key.len() > LONGEST || !is_plain(key, OTHERS) {
            return Err(Failure::invalid_request(format!(
                "the key {key:?} is not the id of a secret: letters, digits, hyphens and underscores"
            )));
        }
        Ok(format!("{}/secrets/{key}", self.parent))
    }

    /// Reads the value of a version.
    #[must_use]
    pub fn access(&self, version: &str) -> HttpRequest {
        get(format!("{}/{version}:access", self.base), &self.token)
    }

    /// Reads what is known of a secret or a version.
    #[must_use]
    pub fn about(&self, resource: &str) -> HttpRequest {
        get(format!("{}/{resource}", self.base), &self.token)
    }

    /// Lists the versions of a secret that can be read; the newest come first.
    #[must_use]
    pub fn enabled_versions(&self, secret: &str) -> HttpRequest {
        let url = format!(
            "{}/{secret}/versions?filter=state%3AENABLED&pageSize=100",
            self.base
        );
        get(url, &self.token)
    }

    /// One page of secrets, with no more of each than is used.
    #[must_use]
    pub fn list(&self, filter: Option<&str>, after: Option<&str>) -> HttpRequest {
        let fields = encode("nextPageToken,secrets(name,labels)");
        let mut url = format!(
            "{}/{}/secrets?pageSize={PAGE}&fields={fields}",
            self.base, self.parent
        );
        for (name, value) in [("filter", filter), ("pageToken", after)] {
            if let Some(value) = value {
                url.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        get(url, &self.token)
    }
}

/// Whether a text can be the name of a version or of an alias.
#[must_use]
pub fn is_version(text: &str) -> bool {
    text.len() <= LONGEST && is_plain(text, OTHERS)
}
