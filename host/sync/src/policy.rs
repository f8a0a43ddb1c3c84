//! What one identity's network and file doors let through: endpoints of the config, held against what the plugin asks.
//!
//! Pure; the decisions are enforced by the runtime's broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use postern_core::egress::{AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Credential, Descriptor, Endpoint, Material};
use postern_core::secret::SecretValue;
use postern_core::store::Store;

use crate::settings::Settings;

/// The policy of a store's endpoints.
pub(crate) fn egress(
    store: &Store,
    plugin: &Descriptor,
    endpoints: &[Endpoint],
    resolved: &[Credential],
    settings: &Settings,
) -> Result<EgressPolicy, Failure> {
    let endpoints = endpoints
        .iter()
        .map(|endpoint| allowed(store, plugin, endpoint, resolved))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(EgressPolicy {
        endpoints,
        rules: settings.rules.clone(),
        asks_metadata: asks(plugin, "metadata-address"),
        asks_api_server: asks(plugin, "api-server"),
    })
}

/// The directories that a plugin may read.
pub(crate) fn directories(plugin: &Descriptor, settings: &Settings) -> BTreeMap<String, PathBuf> {
    if asks(plugin, "files") {
        settings.directories.clone()
    } else {
        BTreeMap::new()
    }
}

/// Pointers of client certificates and keys: the broker presents them, so no guest has to see them.
pub(crate) fn presented_by_us(endpoints: &[Endpoint]) -> impl Iterator<Item = &str> {
    endpoints
        .iter()
        .flat_map(|e| [&e.client_certificate, &e.client_key])
        .flatten()
        .filter_map(|material| match material {
            Material::Pointer(pointer) => Some(pointer.as_str()),
            Material::Pem(_) => None,
        })
}

fn asks(plugin: &Descriptor, kind: &str) -> bool {
    plugin.asks.iter().any(|ask| ask.kind == kind)
}

fn allowed(
    store: &Store,
    plugin: &Descriptor,
    endpoint: &Endpoint,
    resolved: &[Credential],
) -> Result<AllowedEndpoint, Failure> {
    // The text of the endpoint is not shown: what cannot be read as an origin may hide a password in its user part.
    let origin = Origin::parse(&endpoint.origin).map_err(|error| {
        Failure::new(
            Stage::Check,
            Code::InvalidConfig,
            format!(
                "{}: an address in {} cannot be used: {error}",
                store.id,
                store.config_path()
            ),
        )
    })?;
    let asked = plugin
        .asks
        .iter()
        .any(|ask| ask.kind == "host" && matches(&ask.what, &origin));
    if !asked {
        return Err(Failure::new(
            Stage::Check,
            Code::EgressDenied,
            format!(
                "{} names {origin}, which the plugin \"{}\" does not ask to reach; use an address that it serves",
                store.id, plugin.name
            ),
        ));
    }
    let material = |field: &Option<Material>| {
        field
            .as_ref()
            .map(|m| pem(store, plugin, m, resolved))
            .transpose()
    };
    let client_pem = match (
        material(&endpoint.client_certificate)?,
        material(&endpoint.client_key)?,
    ) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Failure::new(
                Stage::Check,
                Code::InvalidConfig,
                format!(
                    "{}: a client certificate needs its key, and a key its certificate; give both for {origin}",
                    store.id
                ),
            ));
        }
    };
    let tls = TlsSettings {
        ca_pem: material(&endpoint.ca)?,
        client_pem,
        server_name: endpoint.server_name.clone(),
    };
    Ok(AllowedEndpoint { origin, tls })
}

fn pem(
    store: &Store,
    plugin: &Descriptor,
    material: &Material,
    resolved: &[Credential],
) -> Result<SecretValue, Failure> {
    match material {
        Material::Pem(pem) => Ok(pem.clone()),
        Material::Pointer(pointer) => {
            resolved.iter().find(|c| c.pointer == *pointer).map(|c| c.value.clone()).ok_or_else(|| {
                Failure::new(
                    Stage::Check,
                    Code::ContractBroken,
                    format!("the plugin \"{}\" takes TLS material from {}{pointer}, which is none of its references", plugin.name, store.config_path()),
                )
            })
        }
    }
}

/// `*`, `*.suffix`, or a host, each with or without a port. `*.suffix` is not the suffix itself.
fn matches(pattern: &str, origin: &Origin) -> bool {
    let (host, port) = split(pattern);
    if port.is_some_and(|port| port != origin.port.to_string()) {
        return false;
    }
    let host = host.to_ascii_lowercase();
    match host.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            suffix.starts_with('.')
                && origin.host.len() > suffix.len()
                && origin.host.ends_with(suffix)
        }
        None => !host.is_empty() && host == origin.host,
    }
}

fn split(pattern: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = pattern
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, after.strip_prefix(':'));
    }
    match pattern.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (pattern, None),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;
    use postern_core::egress::Origin;

    #[test]
    fn an_ask_opens_what_it_names_and_nothing_beside() {
        let table = [
            ("*", "https://any:1", true),
            ("*:443", "https://any", true),
            ("*:443", "https://any:8443", false),
            ("*.corp", "https://vault.corp", true),
            ("*.corp", "https://corp", false),
            ("*.corp", "https://evilcorp", false),
            ("*.corp:8200", "http://a.b.corp:8200", true),
            ("*.corp:8200", "http://a.b.corp", false),
            ("*corp", "https://evilcorp", false),
            ("Vault.corp", "https://vault.corp:8200", true),
            ("vault.corp:8200", "https://vault.corp:8200", true),
            ("vault.corp", "https://vault.corp.evil", false),
            ("[::1]:8200", "http://[::1]:8200", true),
            ("", "https://a", false),
        ];
        for (pattern, origin, open) in table {
            assert_eq!(
                matches(pattern, &Origin::parse(origin).unwrap()),
                open,
                "{pattern} {origin}"
            );
        }
    }
}
