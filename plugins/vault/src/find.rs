//! Lists what lies below a path, folder by folder, a level at once. The host applies the name expression;
//! tags are custom metadata, and count only where no name is asked for.

use postern_sdk::{Failure, Found, Host, HttpRequest, HttpResponse, Page, Query};
use serde_json::Value;

use crate::config::{Config, KvVersion};
use crate::wire::{Call, body, encode, metadata_path, read_failure, refuse_steps, request};

/// Requests that go out at once.
const AT_ONCE: usize = 64;

/// Objects of one list; more than that is a path chosen too wide, and would fill the guest's memory.
const MOST: usize = 50_000;

/// All objects below the query's path, as one page.
///
/// # Errors
/// `absent` where nothing lies there, others as for any read.
pub fn list(host: &dyn Host, config: &Config, token: &str, query: &Query) -> Result<Page, Failure> {
    let by_tags = query.name.is_none() && !query.tags.is_empty();
    if by_tags && config.version == KvVersion::V1 {
        return Err(Failure::unsupported(
            "the KV engine v1 has no metadata, so nothing can be found by tags",
        ));
    }
    let start = query.path.as_deref().unwrap_or_default().trim_matches('/');
    let mut keys = walk(host, config, token, start)?;
    keys.sort();
    if by_tags {
        keys = with_tags(host, config, token, keys, &query.tags)?;
    }
    let found = keys
        .into_iter()
        .map(|key| Found {
            key,
            ..Found::default()
        })
        .collect();
    Ok(Page {
        found,
        names_applied: by_tags,
        ..Page::default()
    })
}

/// Keys below `start`, each with `start` in front.
fn walk(
    host: &dyn Host,
    config: &Config,
    token: &str,
    start: &str,
) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    let mut folders = vec![start.to_owned()];
    while !folders.is_empty() {
        let batch: Vec<String> = folders.drain(..folders.len().min(AT_ONCE)).collect();
        let requests: Vec<HttpRequest> = batch
            .iter()
            .map(|f| list_request(config, token, f))
            .collect::<Result<_, _>>()?;
        for (folder, answer) in batch.iter().zip(host.send_all(&requests)) {
            for name in names(&answer?, folder, token)? {
                let path = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                match path.strip_suffix('/') {
                    Some(deeper) => folders.push(deeper.to_owned()),
                    None => keys.push(path),
                }
            }
        }
        if keys.len() + folders.len() > MOST {
            return Err(Failure::invalid_request(format!(
                "more than {MOST} objects lie below {start:?}"
            )));
        }
    }
    Ok(keys)
}

fn list_request(config: &Config, token: &str, folder: &str) -> Result<HttpRequest, Failure> {
    let mount = config
        .path
        .as_deref()
        .ok_or_else(|| Failure::invalid_config("finding needs the store's path"))?;
    if !folder.is_empty() {
        refuse_steps(folder)?;
    }
    let middle = if config.version == KvVersion::V2 {
        "/metadata"
    } else {
        ""
    };
    let path = encode(format!("{mount}{middle}/{folder}").trim_end_matches('/'));
    let call = Call {
        token,
        namespace: config.namespace.as_deref(),
        body: None,
    };
    Ok(request(config, "LIST", &path, &call))
}

fn names(response: &HttpResponse, folder: &str, token: &str) -> Result<Vec<String>, Failure> {
    let what = format!("the list of {folder:?}");
    if !(200..=299).contains(&response.status) {
        return Err(read_failure(response, &what, &[token]));
    }
    let body = body(response, &what)?;
    let keys = body["data"]["keys"].as_array().cloned().unwrap_or_default();
    Ok(keys
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect())
}

/// Those of the keys whose custom metadata holds all tags.
fn with_tags(
    host: &dyn Host,
    config: &Config,
    token: &str,
    keys: Vec<String>,
    tags: &[(String, String)],
) -> Result<Vec<String>, Failure> {
    let mut kept = Vec::new();
    for batch in keys.chunks(AT_ONCE) {
        let call = || Call {
            token,
            namespace: config.namespace.as_deref(),
            body: None,
        };
        let metadata = |k: &String| {
            metadata_path(config, k).map(|path| request(config, "GET", &path, &call()))
        };
        let requests: Vec<HttpRequest> = batch.iter().map(metadata).collect::<Result<_, _>>()?;
        for (key, answer) in batch.iter().zip(host.send_all(&requests)) {
            let answer = answer?;
            let what = format!("the metadata of {key:?}");
            if answer.status != 200 {
                return Err(read_failure(&answer, &what, &[token]));
            }
            let body = body(&answer, &what)?;
            let custom = &body["data"]["custom_metadata"];
            if tags
                .iter()
                .all(|(name, value)| custom[name.as_str()].as_str() == Some(value))
            {
                kept.push(key.clone());
            }
        }
    }
    Ok(kept)
}
