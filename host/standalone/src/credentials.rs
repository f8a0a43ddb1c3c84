//! The folder as the place where credentials come from, and the list of what is under way.
//!
//! A Secret or ConfigMap of the folder stands for the object of a cluster; service accounts have no counterpart.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::Answering;
use postern_sync::{Credentials, ObjectKind, ObjectName, Pending, Resolved, Version, Whole};
use tokio::time::Instant;

use crate::manifest::{Keys, Manifests};

/// The manifests as the doors see them; replaced as a whole when the folder changes.
#[derive(Default)]
pub struct Folder {
    current: RwLock<Generation>,
    due: Mutex<Option<Instant>>,
}

#[derive(Clone, Default)]
struct Generation {
    manifests: Arc<Manifests>,
    number: u64,
}

impl Folder {
    /// Puts newly read manifests in place of the old ones. What is under way ends with what it has read.
    pub fn replace(&self, manifests: Arc<Manifests>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Generation {
            manifests,
            number: current.number + 1,
        };
    }

    /// Says since when a pass is due that is under way; none when it has ended.
    pub fn set_due(&self, due: Option<Instant>) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    fn generation(&self) -> Generation {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn resolve(&self, object: ObjectName, key: Option<&str>) -> Result<Resolved, Failure> {
        let Generation { manifests, number } = self.generation();
        let keys = keys(&manifests, &object).ok_or_else(|| missing(&object))?;
        let value = match key {
            Some(key) => keys
                .get(key)
                .ok_or_else(|| no_key(&object, &format!("has no key \"{key}\"; add it")))?,
            None if keys.len() == 1 => keys.values().next().ok_or_else(|| missing(&object))?,
            None => {
                return Err(no_key(
                    &object,
                    "has more or less than one key; name the key in the reference",
                ));
            }
        };
        Ok(Resolved {
            value: value.clone(),
            version: version(&object, number),
            object,
            attributes: Vec::new(),
        })
    }
}

fn keys<'a>(manifests: &'a Manifests, object: &ObjectName) -> Option<&'a Keys> {
    let name = (object.namespace.clone(), object.name.clone());
    match object.kind {
        ObjectKind::Secret => manifests.secrets.get(&name),
        ObjectKind::ConfigMap => manifests.config_maps.get(&name),
        ObjectKind::ServiceAccount => None,
    }
}

fn version(object: &ObjectName, number: u64) -> Version {
    Version {
        uid: object.to_string(),
        resource_version: number.to_string(),
    }
}

fn missing(object: &ObjectName) -> Failure {
    let text =
        format!("{object} is not in the folder; put its manifest there, or correct the reference");
    Failure::new(Stage::Login, Code::CredentialMissing, text)
}

fn no_key(object: &ObjectName, what: &str) -> Failure {
    Failure::new(
        Stage::Login,
        Code::CredentialKeyMissing,
        format!("{object} {what}"),
    )
}

fn object(kind: ObjectKind, namespace: &str, name: &str) -> ObjectName {
    ObjectName {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

impl Credentials for Folder {
    fn secret_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        key: Option<&'a str>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move { self.resolve(object(ObjectKind::Secret, namespace, name), key) })
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answering<'a, Whole> {
        Box::pin(async move {
            let Generation { manifests, number } = self.generation();
            let object = object(ObjectKind::Secret, namespace, name);
            let keys = keys(&manifests, &object).ok_or_else(|| missing(&object))?;
            let at = (namespace.to_owned(), name.to_owned());
            let labels = manifests.secret_labels.get(&at).cloned();
            Ok(Whole {
                keys: keys.clone().into_iter().collect(),
                labels: labels.unwrap_or_default().into_iter().collect(),
                version: version(&object, number),
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
        Box::pin(
            async move { self.resolve(object(ObjectKind::ConfigMap, namespace, name), Some(key)) },
        )
    }

    fn service_account_token<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        _audiences: &'a [String],
        _expires_s: Option<u32>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move {
            let text = format!(
                "ServiceAccount \"{namespace}/{name}\" gives no token without a cluster; use a credential from a Secret of the folder"
            );
            Err(Failure::new(Stage::Login, Code::Unsupported, text))
        })
    }

    fn contents<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Keys>> {
        Box::pin(async move { Ok(keys(&self.generation().manifests, object).cloned()) })
    }

    fn version<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Version>> {
        Box::pin(async move {
            let Generation { manifests, number } = self.generation();
            Ok(keys(&manifests, object).map(|_| version(object, number)))
        })
    }
}

impl Pending for Folder {
    fn oldest_due(&self) -> Option<Instant> {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use postern_core::failure::Code;
    use postern_sync::Credentials as _;

    use super::Folder;
    use crate::manifest::Manifests;

    #[tokio::test]
    async fn a_credential_comes_from_the_folder_and_a_missing_one_is_named() {
        let mut manifests = Manifests::default();
        manifests.add_file(
            Path::new("s.yaml"),
            "kind: Secret\nmetadata: {name: token}\nstringData: {value: hunter2}\n",
        );
        let folder = Folder::default();
        folder.replace(Arc::new(manifests));
        let resolved = folder.secret_key("default", "token", None).await.unwrap();
        assert_eq!(resolved.value.expose(), b"hunter2");
        assert_eq!(
            folder.version(&resolved.object).await.unwrap(),
            Some(resolved.version)
        );
        let failure = folder
            .secret_key("default", "token", Some("other"))
            .await
            .unwrap_err();
        assert_eq!(failure.code, Code::CredentialKeyMissing);
        let failure = folder.secret_key("team", "token", None).await.unwrap_err();
        assert_eq!(failure.code, Code::CredentialMissing);
        assert!(
            failure.public.contains("Secret \"team/token\""),
            "{failure}"
        );
    }
}
