//! Can this store be used? The vault is asked without a token, as Microsoft's own clients begin: it answers with whom a token
//! must be for and where one logs in, so that a wrong cloud or directory shows before anything is read. No permission is
//! needed for it, and no refused access stands in the vault's log.

use postern_sdk::{Failure, Host};

use crate::config::{Auth, Config};
use crate::wire::{API_VERSION, Challenge, Tried, failure, get};

/// Asks the vault.
///
/// # Errors
/// `invalid-config` where the vault belongs elsewhere, others as for any exchange.
pub fn vault(host: &dyn Host, config: &Config) -> Result<(), Failure> {
    let query = format!("api-version={API_VERSION}&maxresults=1");
    let response = host.send(&get(config, "/secrets", &query, None))?;
    if response.status != 401 {
        let tried = Tried {
            what: "check of the store",
            vault: &config.vault.url,
            permission: "secrets list",
            action: "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        };
        return match response.status {
            200..=299 => Err(Failure::unavailable(format!(
                "{} answers without a token, so it is no key vault: check vaultUrl",
                config.vault.url
            ))),
            _ => Err(failure(&response, tried, "")),
        };
    }
    fits(config, &Challenge::of(&response))
}

/// What the vault asks for is compared, and never followed.
fn fits(config: &Config, challenge: &Challenge) -> Result<(), Failure> {
    let vault = &config.vault.url;
    if let Some(resource) = challenge.resource.as_deref()
        && resource != config.resource
    {
        return Err(Failure::invalid_config(format!(
            "the vault {vault} takes tokens for {resource:.200}, and the store asks for {}: check environmentType and customCloudConfig.keyVaultEndpoint",
            config.resource
        )));
    }
    let tenant = match &config.auth {
        Auth::ServicePrincipal { tenant, .. } => Some(tenant),
        Auth::WorkloadIdentity(federation) => federation.tenant.as_ref(),
        Auth::ManagedIdentity { .. } | Auth::OwnIdentity { .. } => None,
    };
    let theirs = challenge
        .authorization
        .as_deref()
        .and_then(|url| url.rsplit('/').next());
    // A domain names the same directory in another way, so only ids are compared.
    match (tenant, theirs) {
        (Some(ours), Some(theirs))
            if is_id(ours) && is_id(theirs) && !ours.eq_ignore_ascii_case(theirs) =>
        {
            Err(Failure::invalid_config(format!(
                "the vault {vault} belongs to the tenant {theirs}, and the store logs in to {ours}: correct tenantId"
            )))
        }
        _ => Ok(()),
    }
}

fn is_id(tenant: &str) -> bool {
    tenant.len() == 36 && tenant.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
