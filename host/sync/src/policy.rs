//! What one identity's network and file doors let through: endpoints of the config, held against what the plugin asks.
//!
//! Pure; the decisions are enforced by the runtime's broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use postern_core::egress::{AllowedEndpoint, EgressPolicy, Origin, TlsSettings, is_metadata_host};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::matches;
use postern_core::plugin::{Credential, Descriptor, Endpoint, Material, Revision};
use postern_core::secret::SecretValue;
use postern_core::store::Store;

use crate::settings::Settings;

/// The policy of a store's endpoints.
pub(crate) fn egress(
    asking: Asking<'_>,
    endpoints: &[Endpoint],
    resolved: &[Credential],
    settings: &Settings,
) -> Result<EgressPolicy, Failure> {
    let endpoints = endpoints
        .iter()
        .map(|endpoint| allowed(asking, endpoint, resolved))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(EgressPolicy {
        endpoints,
        rules: settings.rules.clone(),
        asks_metadata: asking.may("metadata-address"),
        asks_api_server: asking.may("api-server"),
    })
}

/// The directories that a plugin may read.
pub(crate) fn directories(asking: Asking<'_>, settings: &Settings) -> BTreeMap<String, PathBuf> {
    if !asks(&asking.plugin.descriptor, "files") {
        return BTreeMap::new();
    }
    let opened = |name: &str| {
        asking
            .plugin
            .permits
            .opens_directory(name, asking.namespace)
    };
    let all = settings.directories.iter();
    all.filter(|(name, _)| opened(name))
        .map(|(name, path)| (name.clone(), path.clone()))
        .collect()
}

/// Which plugin asks, for which store and for which namespace; none where a store of the whole cluster is checked.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) store: &'a Store,
    pub(crate) plugin: &'a Revision,
    pub(crate) namespace: Option<&'a str>,
}

impl Asking<'_> {
    /// Whether the plugin may work here at all.
    pub(crate) fn admitted(&self) -> Result<(), Failure> {
        if self.plugin.permits.admits(self.namespace) {
            return Ok(());
        }
        let namespace = self.namespace.unwrap_or_default();
        Err(Failure::new(
            Stage::Check,
            Code::EgressDenied,
            format!(
                "{}: no PluginGrant lets the plugin \"{}\" work for namespace \"{namespace}\"; {}",
                self.store.id,
                self.plugin.descriptor.name,
                self.plugin.permits.remedy("namespaces", namespace)
            ),
        ))
    }

    /// A kind of ask that has no further bound.
    pub(crate) fn may(&self, kind: &str) -> bool {
        asks(&self.plugin.descriptor, kind) && self.plugin.permits.allows_kind(kind, self.namespace)
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
    asking: Asking<'_>,
    endpoint: &Endpoint,
    resolved: &[Credential],
) -> Result<AllowedEndpoint, Failure> {
    let (store, plugin) = (asking.store, &asking.plugin.descriptor);
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
    if !asking.plugin.permits.opens(&origin, asking.namespace) {
        let place = format!("{}:{}", origin.host, origin.port);
        return Err(Failure::new(
            Stage::Check,
            Code::EgressDenied,
            format!(
                "{}: no PluginGrant lets the plugin \"{}\" reach {origin}; {}",
                store.id,
                plugin.name,
                asking.plugin.permits.remedy("hosts", &place)
            ),
        ));
    }
    if is_metadata_host(&origin.host) && store.config.contains(&origin.host) {
        return Err(Failure::new(
            Stage::Check,
            Code::EgressDenied,
            format!(
                "{} names {origin}, a link-local or metadata address, which no config opens; remove it",
                store.id
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
