//! Lists secrets, a page a call: by labels, which Google narrows and which are held against the answer once more, else by the
//! beginning of their ids. The host applies the name expression, and reads the values.

use std::collections::BTreeMap;

use postern_plugin_shared::google::is_plain;
use postern_sdk::{Failure, Found, Host, Page, Query};
use serde::Deserialize;

use crate::server::Server;
use crate::wire::{Tried, body};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    secrets: Vec<Listed>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// One page.
///
/// # Errors
/// As for any request.
pub fn list(
    host: &dyn Host,
    server: &Server,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    let by_tags = query.name.is_none();
    if by_tags && query.tags.is_empty() {
        return Err(Failure::invalid_request(
            "a find needs a name expression or tags",
        ));
    }
    let tags = if by_tags { &query.tags[..] } else { &[] };
    let path = query.path.as_deref().unwrap_or_default();
    let filter = filter(tags, path)?;
    let response = host.send(&server.list(filter.as_deref(), after))?;
    let tried = Tried {
        permission: "secretmanager.secrets.list",
        role: "roles/secretmanager.viewer",
        resource: server.parent(),
    };
    let list: List = body(&response, tried, &[&server.token])?;
    let found = list.secrets.into_iter().filter_map(|secret| {
        let (_, id) = secret.name.rsplit_once("/secrets/")?;
        let fits =
            id.starts_with(path) && tags.iter().all(|(k, v)| secret.labels.get(k) == Some(v));
        fits.then(|| Found {
            key: id.to_owned(),
            ..Found::default()
        })
    });
    Ok(Page {
        found: found.collect(),
        next: Some(list.next_page_token).filter(|next| !next.is_empty()),
        names_applied: by_tags,
        options: vec![("convert-names".to_owned(), "true".to_owned())],
        ..Page::default()
    })
}

/// The words of a filter are all to be true. Nothing that would be another word gets in.
fn filter(tags: &[(String, String)], path: &str) -> Result<Option<String>, Failure> {
    let is_label = |text: &str| {
        text.chars()
            .all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    let mut words = Vec::new();
    for (name, value) in tags {
        if name.is_empty() || !is_label(name) || !is_label(value) {
            return Err(Failure::invalid_request(format!(
                "no secret has the label {name:?}: {value:?}: letters, digits, hyphens and underscores make one"
            )));
        }
        words.push(format!("labels.{name}={value}"));
    }
    if !path.is_empty() {
        if !is_plain(path, "-_") {
            return Err(Failure::invalid_request(format!(
                "no id of a secret begins with {path:?}: letters, digits, hyphens and underscores make one"
            )));
        }
        words.push(format!("name:{path}"));
    }
    Ok((!words.is_empty()).then(|| words.join(" ")))
}
