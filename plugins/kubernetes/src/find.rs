//! Lists the Secrets of the namespace, values included: one list, in pages. Tags are labels and are matched by the
//! server; a name expression is applied by the host, and only where there are no tags.

use postern_plugin_shared::encode;
use postern_sdk::{Failure, Found, Host, Page, Query};
use serde::Deserialize;

use crate::config::Config;
use crate::object::Secret;
use crate::wire::{Server, Tried, body, secrets_path};

/// Secrets of a page, and what is tried where that many do not fit into one answer.
const SIZES: [u32; 4] = [128, 32, 8, 1];

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: String,
}

/// One page.
///
/// # Errors
/// As for any request.
pub fn list(
    host: &dyn Host,
    config: &Config,
    server: &Server,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    let by_tags = !query.tags.is_empty();
    if !by_tags && query.name.is_none() {
        return Err(Failure::invalid_request(
            "a find needs a name expression or tags",
        ));
    }
    let tried = Tried {
        verb: "list",
        resource: "secrets",
        namespace: &config.namespace,
        name: None,
    };
    let mut answer = Err(Failure::internal("no page was asked for"));
    for size in SIZES {
        let path = page_path(config, query, size, after);
        answer = host.send(&server.request("GET", &path, None));
        // What the host says of an answer that is too large for it; anything else is the same for a smaller page.
        let too_large = matches!(&answer, Err(f) if f.code == "invalid-request");
        if !too_large {
            break;
        }
    }
    let response = answer?;
    let list: List = body(&response, tried)?;
    Ok(Page {
        found: list.items.into_iter().map(found).collect(),
        next: Some(list.metadata.next).filter(|n| !n.is_empty()),
        names_applied: by_tags,
        options: vec![("convert-names".to_owned(), "true".to_owned())],
        ..Page::default()
    })
}

fn page_path(config: &Config, query: &Query, size: u32, after: Option<&str>) -> String {
    let mut path = format!("{}?limit={size}", secrets_path(&config.namespace));
    let selector: Vec<String> = query
        .tags
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !selector.is_empty() {
        path.push_str("&labelSelector=");
        path.push_str(&encode(&selector.join(",")));
    }
    if let Some(after) = after {
        path.push_str("&continue=");
        path.push_str(&encode(after));
    }
    path
}

fn found(secret: Secret) -> Found {
    Found {
        value: Some(secret.json()),
        tag: secret.tag(),
        key: secret.metadata.name,
        ..Found::default()
    }
}
