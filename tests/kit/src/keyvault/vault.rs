//! The vault's REST API.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::objects::{Attributes, Version, texts};
use super::{Fault, KeyVault, State};
use crate::http_server::{Asked, Query, Reply};

/// Versions of the API that a client may ask for.
const API_VERSIONS: [&str; 9] = [
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-07-01",
    "2026-04-01",
];
/// What a list gives at most at once.
const PAGE: usize = 25;

impl State {
    pub(super) fn vault(&mut self, asked: &Asked, path: &str, query: &Query) -> Reply {
        let caller = match self.authenticate(asked) {
            Ok(application) => application,
            Err(refusal) => return refusal,
        };
        let version = query.get("api-version").map_or("", String::as_str);
        if !API_VERSIONS.contains(&version) {
            return error(400, "BadParameter", "api-version must be specified", None);
        }
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let Err(refusal) = self.authorize(&caller, &segments) {
            return refusal;
        }
        match (asked.method.as_str(), &segments[..]) {
            ("GET", ["secrets"]) => self.list(query),
            ("GET", ["secrets", name, "versions"]) => self.versions(name),
            ("GET", ["deletedsecrets", name]) => self.deleted_secret(name),
            ("GET", [collection @ ("secrets" | "keys" | "certificates"), name]) => {
                self.get(collection, name, None)
            }
            (
                "GET",
                [
                    collection @ ("secrets" | "keys" | "certificates"),
                    name,
                    version,
                ],
            ) => self.get(collection, name, Some(version)),
            ("PUT", ["secrets", name]) => self.put(name, &asked.json()),
            ("PATCH", ["secrets", name, version]) => self.patch(name, version, &asked.json()),
            ("DELETE", ["secrets", name]) => self.delete(name),
            _ => error(404, "BadParameter", "There is nothing at this path", None),
        }
    }

    /// Whoever comes without a token, or with one that has ended, is told where to get one.
    fn authenticate(&self, asked: &Asked) -> Result<String, Reply> {
        let challenge = |message: &str| {
            let header = format!(
                "Bearer authorization=\"{}/{}\", resource=\"{}\"",
                self.directory_url,
                KeyVault::TENANT,
                self.resource
            );
            Err(error(401, "Unauthorized", message, None).with_header("WWW-Authenticate", header))
        };
        let Some(given) = asked
            .header("authorization")
            .and_then(|h| h.strip_prefix("Bearer "))
        else {
            return challenge("AKV10000: Request is missing a Bearer or PoP token.");
        };
        let Some(token) = self.tokens.get(given).filter(|t| t.ends > Instant::now()) else {
            return challenge("[TokenExpired] Error validating token: 'S2S12086'.");
        };
        if token.resource != self.resource {
            return challenge(&format!(
                "AKV10022: Invalid audience. Expected {}, found: {}.",
                self.resource, token.resource
            ));
        }
        if token.tenant != KeyVault::TENANT {
            return challenge(&format!(
                "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{}/, found https://sts.windows.net/{}/.",
                KeyVault::TENANT,
                token.tenant
            ));
        }
        Ok(token.application.clone())
    }

    fn authorize(&self, application: &str, segments: &[&str]) -> Result<(), Reply> {
        let (collection, name) = (segments[0], segments.get(1));
        let object = name.map_or_else(|| collection.to_owned(), |n| format!("{collection}/{n}"));
        if !self.denied.contains(&object) {
            return Ok(());
        }
        let (permission, action) = match (collection, name) {
            ("secrets", None) => ("secrets list", "secrets/readMetadata/action"),
            ("secrets", Some(_)) => ("secrets get", "secrets/getSecret/action"),
            ("keys", _) => ("keys get", "keys/read"),
            _ => ("certificates get", "certificates/read"),
        };
        let caller = format!(
            "appid={application};oid=3975aeed;iss=https://sts.windows.net/{}/",
            KeyVault::TENANT
        );
        if self.access_policies {
            return Err(error(
                403,
                "Forbidden",
                &format!(
                    "The user, group or application '{caller}' does not have {permission} permission on key vault 'test;location=nowhere'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
                ),
                Some("ForbiddenByPolicy"),
            ));
        }
        let resource = format!(
            "/subscriptions/0/resourcegroups/rg/providers/microsoft.keyvault/vaults/test/{object}"
        );
        Err(error(
            403,
            "Forbidden",
            &format!(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: {caller}\r\nAction: 'Microsoft.KeyVault/vaults/{action}'\r\nResource: '{resource}'\r\nAssignment: (not found)\r\nVault: test;location=nowhere\r\n"
            ),
            Some("ForbiddenByRbac"),
        ))
    }

    fn get(&self, collection: &str, name: &str, version: Option<&str>) -> Reply {
        let (code, noun) = match collection {
            "secrets" => ("Secret", "secret"),
            "keys" => ("Key", "key"),
            _ => ("Certificate", "certificate"),
        };
        let Some(found) = self.objects.get(collection, name, version) else {
            let message = format!(
                "A {noun} with (name/id) {name} was not found in this key vault. If you recently deleted this {noun} you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
            );
            return error(404, &format!("{code}NotFound"), &message, None);
        };
        if !found.enabled && collection == "secrets" {
            let message = "Operation get is not allowed on a disabled secret.";
            return error(403, "Forbidden", message, Some("SecretDisabled"));
        }
        Reply::json(200, &self.bundle(collection, name, found))
    }

    fn bundle(&self, collection: &str, name: &str, version: &Version) -> Value {
        let id = self.id(collection, name, Some(&version.id));
        let mut bundle = version.bundle();
        // A key is named within itself.
        match bundle.get_mut("key") {
            Some(key) => key["kid"] = id.into(),
            None => drop(bundle.insert("id".to_owned(), id.into())),
        }
        Value::Object(bundle)
    }

    fn id(&self, collection: &str, name: &str, version: Option<&str>) -> String {
        let base = format!("{}/{collection}/{name}", self.vault_url);
        version.map_or_else(|| base.clone(), |v| format!("{base}/{v}"))
    }

    fn list(&self, query: &Query) -> Reply {
        let size = query.get("maxresults").map_or(Ok(PAGE), |n| n.parse());
        let Some(size) = size.ok().filter(|n| (1..=PAGE).contains(n)) else {
            let message = "maxresults must be between 1 and 25";
            return error(400, "BadParameter", message, None);
        };
        let skip = query.get("$skiptoken").map_or(Some(0), |token| {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            String::from_utf8(bytes).ok()?.parse().ok()
        });
        let Some(skip) = skip else {
            return error(400, "BadParameter", "the skip token is none", None);
        };
        let all = self.objects.list("secrets");
        let items: Vec<Value> = all
            .iter()
            .skip(skip)
            .take(size)
            .map(|(name, version)| {
                let mut item = version.properties();
                item.insert("id".to_owned(), self.id("secrets", name, None).into());
                Value::Object(item)
            })
            .collect();
        let next = (skip + size < all.len()).then(|| {
            let token = URL_SAFE_NO_PAD.encode((skip + size).to_string());
            let base = match &self.fault {
                Some(Fault::ListGoesOnAt(elsewhere)) => elsewhere,
                _ => &self.vault_url,
            };
            let version = query.get("api-version").map_or("", String::as_str);
            format!("{base}/secrets?api-version={version}&$skiptoken={token}&maxresults={size}")
        });
        Reply::json(200, &json!({"value": items, "nextLink": next}))
    }

    fn versions(&self, name: &str) -> Reply {
        let item = |version: &&Version| {
            let mut item = version.properties();
            let id = self.id("secrets", name, Some(&version.id));
            item.insert("id".to_owned(), id.into());
            Value::Object(item)
        };
        let items: Vec<Value> = self
            .objects
            .versions("secrets", name)
            .iter()
            .map(item)
            .collect();
        Reply::json(200, &json!({"value": items, "nextLink": null}))
    }

    fn put(&mut self, name: &str, given: &Value) -> Reply {
        let tags = given["tags"].as_object().map_or_else(BTreeMap::new, texts);
        let mut body = json!({"value": given["value"]});
        if !given["contentType"].is_null() {
            body["contentType"] = given["contentType"].clone();
        }
        let attributes = Attributes {
            expires: given["attributes"]["exp"].as_u64(),
            not_before: given["attributes"]["nbf"].as_u64(),
            ..Attributes::default()
        };
        if self.objects.deleted("secrets", name) {
            let message = format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged."
            );
            return error(
                409,
                "Conflict",
                &message,
                Some("ObjectIsDeletedButRecoverable"),
            );
        }
        self.objects.put(("secrets", name), body, tags, attributes);
        self.get("secrets", name, None)
    }

    fn patch(&mut self, name: &str, version: &str, change: &Value) -> Reply {
        if !self.objects.patch("secrets", name, version, change) {
            return self.get("secrets", name, Some(version));
        }
        let Some(found) = self.objects.get("secrets", name, Some(version)) else {
            return self.get("secrets", name, Some(version));
        };
        let mut bundle = self.bundle("secrets", name, found);
        // A change of properties never tells the value.
        if let Some(members) = bundle.as_object_mut() {
            members.remove("value");
        }
        Reply::json(200, &bundle)
    }

    fn delete(&mut self, name: &str) -> Reply {
        if self.objects.get("secrets", name, None).is_none() {
            return self.get("secrets", name, None);
        }
        self.objects.delete("secrets", name);
        self.deleted_secret(name)
    }

    fn deleted_secret(&self, name: &str) -> Reply {
        let versions = self.objects.versions("secrets", name);
        let Some(version) = versions
            .last()
            .filter(|_| self.objects.deleted("secrets", name))
        else {
            return self.get("secrets", name, None);
        };
        let mut bundle = version.properties();
        bundle.insert(
            "id".to_owned(),
            self.id("secrets", name, Some(&version.id)).into(),
        );
        let recovery = format!("{}/deletedsecrets/{name}", self.vault_url);
        bundle.insert("recoveryId".to_owned(), recovery.into());
        bundle.insert("deletedDate".to_owned(), super::now().into());
        bundle.insert(
            "scheduledPurgeDate".to_owned(),
            (super::now() + 7_776_000).into(),
        );
        Reply::json(200, &Value::Object(bundle))
    }
}

/// Every error of the vault has this body.
pub(super) fn error(status: u16, code: &str, message: &str, inner: Option<&str>) -> Reply {
    let mut error = json!({"code": code, "message": message});
    if let Some(inner) = inner {
        error["innererror"] = json!({"code": inner});
    }
    Reply::json(status, &json!({"error": error}))
        .with_header("x-ms-request-id", "0c1a0a86-0000-4000-8000-000000000000")
}
