//! Lists the secrets of the vault that are enabled and have the tags asked for. The host applies the name expression, so
//! tags and names both count, and reads the values.

use std::collections::BTreeMap;

use postern_sdk::{Failure, Found, Host, Page, Query};
use serde::Deserialize;

use crate::address;
use crate::config::Config;
use crate::wire::{API_VERSION, Tried, body, get, or_default};

/// What the vault gives at most at once.
const PAGE: u32 = 25;
/// Pages of the vault that are one of ours: fewer calls, and a bound on what one holds.
const AT_ONCE: usize = 40;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct List {
    value: Option<Vec<Item>>,
    next_link: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(deserialize_with = "or_default")]
    tags: BTreeMap<String, Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    #[serde(deserialize_with = "or_default")]
    enabled: bool,
}

/// One page; `after` is the query of the vault's next one.
///
/// # Errors
/// As for any request.
pub fn list(
    host: &dyn Host,
    config: &Config,
    token: &str,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    let what = format!("list of secrets in {}", config.vault.url);
    let tried = Tried {
        what: &what,
        vault: &config.vault.url,
        permission: "secrets list",
        action: "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    };
    let first = || format!("api-version={API_VERSION}&maxresults={PAGE}");
    let mut next = Some(after.map_or_else(first, str::to_owned));
    let mut found = Vec::new();
    for _ in 0..AT_ONCE {
        let Some(at) = next.take() else { break };
        let response = host.send(&get(config, "/secrets", &at, Some(token)))?;
        let list: List = body(&response, tried, token)?;
        let items = list.value.unwrap_or_default();
        found.extend(items.into_iter().filter_map(|item| hit(item, query)));
        let link = list.next_link.filter(|l| !l.is_empty());
        next = link.map(|l| query_of(config, &l)).transpose()?;
    }
    Ok(Page {
        found,
        next,
        ..Page::default()
    })
}

fn hit(item: Item, query: &Query) -> Option<Found> {
    let has = |(name, value): &(String, String)| matches!(item.tags.get(name), Some(Some(given)) if given == value);
    let key = item.id.rsplit('/').next().unwrap_or_default();
    (item.attributes.enabled && !key.is_empty() && query.tags.iter().all(has)).then(|| Found {
        key: key.to_owned(),
        ..Found::default()
    })
}

/// The query of the next page. It must be one of the same list: the token goes nowhere else.
fn query_of(config: &Config, link: &str) -> Result<String, Failure> {
    let elsewhere = || {
        Failure::unavailable(format!(
            "the list of secrets in {} goes on at another place, which is not followed",
            config.vault.url
        ))
    };
    let (origin, rest) = address::split(link).map_err(|_| elsewhere())?;
    let query = rest
        .strip_prefix("/secrets")
        .map(|r| r.strip_prefix('/').unwrap_or(r))
        .and_then(|r| r.strip_prefix('?'))
        .filter(|_| origin.url == config.vault.url)
        .ok_or_else(elsewhere)?;
    let plain = |c: char| c.is_ascii_graphic() && c != '#';
    if !query.chars().all(plain) {
        return Err(elsewhere());
    }
    Ok(query.to_owned())
}
