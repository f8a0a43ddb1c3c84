//! Searches. A name or a tag narrows the list at AWS where AWS can do that; the host applies the name expression.

use postern_sdk::{Failure, Found, Page, Query};
use serde_json::{Value, json};

use crate::config::{Config, Service};
use crate::parameters;
use crate::wire::{Client, Miss, Operation};

/// Marks the next page of a list that holds no values, after the one with them was refused.
const DESCRIBED: &str = "described:";
/// Marks the next page of a list that holds values.
const LISTED: &str = "listed:";

/// One page.
///
/// # Errors
/// Why there is none.
pub fn page(
    client: &Client<'_>,
    config: &Config,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    if query.name.is_none() && query.tags.is_empty() {
        return Err(Failure::invalid_request("find needs a name or tags"));
    }
    match config.service {
        Service::SecretsManager => secrets(client, config, query, after),
        // A name wins over tags.
        Service::ParameterStore if query.name.is_some() => by_path(client, config, query, after),
        Service::ParameterStore => described(client, config, (query, true), after),
    }
}

fn secrets(
    client: &Client<'_>,
    config: &Config,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    let mut filters: Vec<Value> = Vec::new();
    let filter = |key: &str, value: &str| json!({"Key": key, "Values": [value]});
    for (key, value) in &query.tags {
        filters.push(filter("tag-key", key));
        filters.push(filter("tag-value", value));
    }
    filters.extend(path(query).map(|path| filter("name", path)));
    let mut body = json!({"MaxResults": 100});
    if !filters.is_empty() {
        body["Filters"] = Value::from(filters);
    }
    let answer = ask(client, ("ListSecrets", "the list of secrets"), body, after)?;
    // AWS takes a key and a value of different tags for a hit, and a longer text that begins alike.
    let has_tags = |entry: &Value| {
        query.tags.iter().all(|(key, value)| {
            let mut tags = entry["Tags"].as_array().into_iter().flatten();
            tags.any(|tag| tag["Key"] == key.as_str() && tag["Value"] == value.as_str())
        })
    };
    let entries = answer["SecretList"].as_array().into_iter().flatten();
    Ok(Page {
        found: entries
            .filter(|e| has_tags(e))
            .filter_map(|e| found(config, e))
            .collect(),
        next: answer["NextToken"].as_str().map(str::to_owned),
        ..Page::default()
    })
}

/// The list that brings the values along; where a policy refuses it, the one that does not.
fn by_path(
    client: &Client<'_>,
    config: &Config,
    query: &Query,
    after: Option<&str>,
) -> Result<Page, Failure> {
    if let Some(after) = after.and_then(|after| after.strip_prefix(DESCRIBED)) {
        return described(client, config, (query, false), Some(after));
    }
    let after = after.and_then(|after| after.strip_prefix(LISTED));
    let path = path(query).unwrap_or("/");
    let mut body =
        json!({"Path": path, "Recursive": true, "WithDecryption": true, "MaxResults": 10});
    if let Some(after) = after {
        body["NextToken"] = Value::from(after);
    }
    let operation = Operation {
        name: "GetParametersByPath",
        what: format!("the parameters below {path:?}"),
        body,
    };
    let answer = match client.ask(&operation) {
        Ok(answer) => answer,
        Err(Miss::Refused(refusal)) if refusal.is_denial() && after.is_none() => {
            return described(client, config, (query, false), None);
        }
        Err(miss) => return Err(client.failure(&miss, &operation.what)),
    };
    let with_value = |entry: &Value| {
        let value = entry["Value"].as_str()?.as_bytes().to_vec();
        Some(Found {
            value: Some(value),
            tag: parameters::tag(entry),
            ..found(config, entry)?
        })
    };
    let entries = answer["Parameters"].as_array().into_iter().flatten();
    Ok(Page {
        found: entries.filter_map(with_value).collect(),
        next: answer["NextToken"]
            .as_str()
            .map(|next| format!("{LISTED}{next}")),
        ..Page::default()
    })
}

fn described(
    client: &Client<'_>,
    config: &Config,
    (query, by_tags): (&Query, bool),
    after: Option<&str>,
) -> Result<Page, Failure> {
    let mut filters: Vec<Value> = Vec::new();
    for (key, value) in query.tags.iter().filter(|_| by_tags) {
        filters.push(json!({"Key": format!("tag:{key}"), "Option": "Equals", "Values": [value]}));
    }
    filters.extend(
        path(query).map(|path| json!({"Key": "Path", "Option": "Recursive", "Values": [path]})),
    );
    let mut body = json!({"MaxResults": 50});
    if !filters.is_empty() {
        body["ParameterFilters"] = Value::from(filters);
    }
    let answer = ask(
        client,
        ("DescribeParameters", "the list of parameters"),
        body,
        after,
    )?;
    let entries = answer["Parameters"].as_array().into_iter().flatten();
    let mark = if by_tags { "" } else { DESCRIBED };
    Ok(Page {
        found: entries.filter_map(|e| found(config, e)).collect(),
        next: answer["NextToken"]
            .as_str()
            .map(|next| format!("{mark}{next}")),
        ..Page::default()
    })
}

fn ask(
    client: &Client<'_>,
    (name, what): (&'static str, &str),
    mut body: Value,
    after: Option<&str>,
) -> Result<Value, Failure> {
    if let Some(after) = after {
        body["NextToken"] = Value::from(after);
    }
    let operation = Operation {
        name,
        body,
        what: what.to_owned(),
    };
    client
        .ask(&operation)
        .map_err(|miss| client.failure(&miss, what))
}

/// A hit keeps its full name, whatever the store's prefix is.
fn found(config: &Config, entry: &Value) -> Option<Found> {
    let name = entry["Name"].as_str()?;
    let key = config.key_of(name, entry["ARN"].as_str().unwrap_or_default());
    Some(Found {
        name: (key != name).then(|| name.to_owned()),
        key,
        ..Found::default()
    })
}

fn path(query: &Query) -> Option<&str> {
    query.path.as_deref().filter(|p| !p.is_empty())
}
