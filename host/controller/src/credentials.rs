//! Credentials of stores, read from the API server at the moment they are needed and kept nowhere here.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::Answering;
use postern_core::secret::SecretValue;
use postern_core::shape::Data;
use postern_sync::{Credentials, ObjectKind, ObjectName, Resolved, Version, Whole};

use crate::api_error;
use crate::target::Body;

/// Reads credentials through the API server.
pub(crate) struct ApiCredentials {
    pub(crate) client: Client,
}

impl Credentials for ApiCredentials {
    fn secret_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        key: Option<&'a str>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move {
            let object = object(ObjectKind::Secret, namespace, name);
            let secret: Option<Secret> = self.get(&object).await?;
            let body = Body(secret.ok_or_else(|| missing(&object))?);
            let none = BTreeMap::new();
            let value = pick(body.0.data.as_ref().unwrap_or(&none), key, &object)?;
            let value = SecretValue::new(value.0.clone());
            Ok(Resolved {
                value,
                version: version(&body.0.metadata),
                object,
                attributes: Vec::new(),
            })
        })
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answering<'a, Whole> {
        Box::pin(async move {
            let object = object(ObjectKind::Secret, namespace, name);
            let secret: Option<Secret> = self.get(&object).await?;
            let body = Body(secret.ok_or_else(|| missing(&object))?);
            let keys = body.0.data.iter().flatten();
            Ok(Whole {
                keys: keys
                    .map(|(key, value)| (key.clone(), SecretValue::new(value.0.clone())))
                    .collect(),
                labels: body.0.metadata.labels.iter().flatten().map(owned).collect(),
                version: version(&body.0.metadata),
                object,
            })
        })
    }

    fn config_map_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        key: &'a str,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move {
            let object = object(ObjectKind::ConfigMap, namespace, name);
            let map: Option<ConfigMap> = self.get(&object).await?;
            let map = map.ok_or_else(|| missing(&object))?;
            let mut all: BTreeMap<String, Vec<u8>> = map
                .binary_data
                .into_iter()
                .flatten()
                .map(|(k, v)| (k, v.0))
                .collect();
            all.extend(
                map.data
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k, v.into_bytes())),
            );
            let value = SecretValue::new(pick(&all, Some(key), &object)?.clone());
            Ok(Resolved {
                value,
                version: version(&map.metadata),
                object,
                attributes: Vec::new(),
            })
        })
    }

    fn service_account_token<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        audiences: &'a [String],
        expires_s: Option<u32>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move {
            let object = object(ObjectKind::ServiceAccount, namespace, name);
            let account: Option<ServiceAccount> = self.get(&object).await?;
            let account = account.ok_or_else(|| missing(&object))?;
            let annotations = account.metadata.annotations.clone().unwrap_or_default();
            let audiences = audiences
                .iter()
                .map(|text| filled(text, &annotations, &object))
                .collect::<Result<_, _>>()?;
            let token = self.token(&object, audiences, expires_s).await?;
            Ok(Resolved {
                value: SecretValue::from(token),
                version: version(&account.metadata),
                object,
                attributes: annotations
                    .into_iter()
                    .map(|(name, value)| (format!("annotation:{name}"), value))
                    .collect(),
            })
        })
    }

    fn contents<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Data>> {
        Box::pin(async move {
            match object.kind {
                ObjectKind::Secret => {
                    let found: Option<Secret> = self.get(object).await?;
                    let body = found.map(Body);
                    Ok(body.map(|body| values(body.0.data.iter().flatten(), |v| v.0.clone())))
                }
                ObjectKind::ConfigMap => {
                    let found: Option<ConfigMap> = self.get(object).await?;
                    let texts = |map: ConfigMap| {
                        values(map.data.iter().flatten(), |text| text.clone().into_bytes())
                    };
                    Ok(found.map(texts))
                }
                ObjectKind::ServiceAccount => Ok(None),
            }
        })
    }

    fn version<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Version>> {
        Box::pin(async move {
            let meta = match object.kind {
                ObjectKind::Secret => self.meta::<Secret>(object).await,
                ObjectKind::ConfigMap => self.meta::<ConfigMap>(object).await,
                ObjectKind::ServiceAccount => self.meta::<ServiceAccount>(object).await,
            };
            meta.map(|found| found.as_ref().map(version))
                .map_err(|error| unreadable(object, &error))
        })
    }
}

impl ApiCredentials {
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn get<K>(&self, object: &ObjectName) -> Result<Option<K>, Failure>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(&object.namespace);
        api.get_opt(&object.name)
            .await
            .map_err(|error| unreadable(object, &error))
    }

    async fn meta<K>(&self, object: &ObjectName) -> kube::Result<Option<ObjectMeta>>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api(&object.namespace);
        Ok(api
            .get_metadata_opt(&object.name)
            .await?
            .map(|found| found.metadata))
    }

    async fn token(
        &self,
        object: &ObjectName,
        audiences: Vec<String>,
        expires_s: Option<u32>,
    ) -> Result<String, Failure> {
        let spec = TokenRequestSpec {
            audiences,
            expiration_seconds: expires_s.map(i64::from),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec,
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = self.api(&object.namespace);
        let answer = api
            .create_token_request(&object.name, &PostParams::default(), &request)
            .await;
        let issued = answer.map_err(|error| {
            api_error::failure(
                Stage::Login,
                code(&error),
                &format!("could not get a token of {object}"),
                &error,
            )
        })?;
        issued.status.map(|status| status.token).ok_or_else(|| {
            Failure::new(
                Stage::Login,
                Code::Internal,
                format!("the API server issued no token of {object}"),
            )
        })
    }
}

fn values<'a, V: 'a>(
    all: impl Iterator<Item = (&'a String, &'a V)>,
    bytes: impl Fn(&V) -> Vec<u8>,
) -> Data {
    all.map(|(key, value)| (key.clone(), SecretValue::new(bytes(value))))
        .collect()
}

fn object(kind: ObjectKind, namespace: &str, name: &str) -> ObjectName {
    ObjectName {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn version(meta: &ObjectMeta) -> Version {
    Version {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
    }
}

fn missing(object: &ObjectName) -> Failure {
    Failure::new(
        Stage::Login,
        Code::CredentialMissing,
        format!(
            "{object}, which the store refers to, does not exist; create it, or correct the reference"
        ),
    )
}

fn unreadable(object: &ObjectName, error: &kube::Error) -> Failure {
    api_error::failure(
        Stage::Login,
        code(error),
        &format!("could not read {object}"),
        error,
    )
}

/// A refusal is for the administrator to mend; all else may pass.
fn code(error: &kube::Error) -> Code {
    match error {
        kube::Error::Api(status) if status.is_forbidden() || status.is_not_found() => {
            Code::CredentialMissing
        }
        _ => Code::Internal,
    }
}

fn pick<'a, V>(
    all: &'a BTreeMap<String, V>,
    key: Option<&str>,
    object: &ObjectName,
) -> Result<&'a V, Failure> {
    let found = match key {
        Some(key) => all.get(key),
        None if all.len() == 1 => all.values().next(),
        None => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        let has = if names.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        let text = match key {
            Some(key) => format!("{object} has no key \"{key}\"; {has}"),
            None => format!("{object} must be referred to with a key; {has}"),
        };
        Failure::new(Stage::Login, Code::CredentialKeyMissing, text)
    })
}

/// Puts annotations of the account in the places of an audience that ask for them.
fn filled(
    text: &str,
    annotations: &BTreeMap<String, String>,
    object: &ObjectName,
) -> Result<String, Failure> {
    let Some((before, rest)) = text.split_once("{annotation:") else {
        return Ok(text.to_owned());
    };
    let Some((name, after)) = rest.split_once('}') else {
        return Ok(text.to_owned());
    };
    let (name, default) = match name.split_once('|') {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    let named = annotations.get(name).map(String::as_str).or(default);
    let value = named.ok_or_else(|| {
        let text =
            format!("{object} has no annotation \"{name}\", which its token's audience is made of");
        Failure::new(Stage::Login, Code::CredentialKeyMissing, text)
    })?;
    Ok(format!(
        "{before}{value}{}",
        filled(after, annotations, object)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_answered_with_the_keys_that_exist() {
        let all = BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
        let at = object(ObjectKind::Secret, "team", "vault");
        assert_eq!(pick(&all, Some("two"), &at).unwrap(), &2);
        let failure = pick(&all, Some("token"), &at).unwrap_err();
        assert_eq!(
            failure.public,
            "Secret \"team/vault\" has no key \"token\"; it has one, two"
        );
        assert_eq!(failure.code, Code::CredentialKeyMissing);
        assert!(
            pick(&all, None, &at)
                .unwrap_err()
                .public
                .contains("must be referred to with a key")
        );
    }

    #[test]
    fn an_audience_may_be_made_of_annotations() {
        let annotations = BTreeMap::from([("a/b".to_owned(), "x".to_owned())]);
        let at = object(ObjectKind::ServiceAccount, "team", "app");
        assert_eq!(
            filled(
                "//iam/{annotation:a/b}/p/{annotation:a/b}",
                &annotations,
                &at
            )
            .unwrap(),
            "//iam/x/p/x"
        );
        assert_eq!(filled("plain", &annotations, &at).unwrap(), "plain");
        assert_eq!(
            filled("{annotation:a/b|d} {annotation:c|d}", &annotations, &at).unwrap(),
            "x d"
        );
        assert!(
            filled("{annotation:c}", &annotations, &at)
                .unwrap_err()
                .public
                .contains("no annotation \"c\"")
        );
    }
}
