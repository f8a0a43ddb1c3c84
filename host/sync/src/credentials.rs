//! How credentials are reached: a trait that the cluster (API server) and the standalone mode (a folder) implement, and
//! the one place that follows a located reference through it.
//!
//! Nothing here decides from which namespace a reference may be read; `postern_core::reference` does.

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answering, Options, Reference};
use postern_core::reference::{Label, Located, Target};
use postern_core::secret::SecretValue;
use postern_core::shape::Data;

/// What kind of object a credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A ServiceAccount.
    ServiceAccount,
}

impl ObjectKind {
    /// The kind as manifests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
        }
    }
}

/// Names the object that a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} \"{}/{}\"",
            self.kind.as_str(),
            self.namespace,
            self.name
        )
    }
}

/// Tells one state of an object from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Changes when the object is made anew.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
}

/// What a reference led to.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The bytes.
    pub value: SecretValue,
    /// Where they come from.
    pub object: ObjectName,
    /// Which state of it.
    pub version: Version,
    /// What goes with it, such as the annotations of a service account.
    pub attributes: Options,
}

/// A Secret with all its keys.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its values by key.
    pub keys: Vec<(String, SecretValue)>,
    /// Its labels.
    pub labels: Options,
    /// Which one.
    pub object: ObjectName,
    /// Which state of it.
    pub version: Version,
}

/// Reads the objects that stores refer to.
///
/// Errors: [`Code::CredentialMissing`] and [`Code::CredentialKeyMissing`], whose public text names the object, the key,
/// and what to do.
pub trait Credentials: Send + Sync {
    /// A key of a Secret; without a key, the only key that it has.
    fn secret_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        key: Option<&'a str>,
    ) -> Answering<'a, Resolved>;

    /// A Secret with all its keys.
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answering<'a, Whole>;

    /// A key of a ConfigMap.
    fn config_map_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        key: &'a str,
    ) -> Answering<'a, Resolved>;

    /// A fresh token of a ServiceAccount, with the account's annotations as attributes. `{annotation:NAME}` in an
    /// audience stands for the account's annotation and is replaced by who implements this.
    fn service_account_token<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        audiences: &'a [String],
        expires_s: Option<u32>,
    ) -> Answering<'a, Resolved>;

    /// All keys of a Secret, or all texts of a ConfigMap; none where it does not exist.
    fn contents<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Data>>;

    /// The state of an object without its content; none if it is gone.
    fn version<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Version>>;
}

/// A reference of a config with its place decided, as it is kept beside an identity.
#[derive(Clone, Debug)]
pub(crate) struct Needed {
    pub(crate) reference: Reference,
    pub(crate) located: Located,
    /// For whom a token is; none means the API server.
    pub(crate) audiences: Vec<String>,
}

impl Needed {
    pub(crate) fn is_token(&self) -> bool {
        matches!(self.located.target, Target::ServiceAccount { .. })
    }
}

/// Follows a reference; `asking` is the namespace that stands in where the reference names none. A reference to a whole
/// Secret leads to one credential a key, whose pointer has the key behind the reference's.
pub(crate) async fn resolve(
    credentials: &dyn Credentials,
    needed: &Needed,
    asking: Option<&str>,
) -> Result<Vec<(Needed, Resolved)>, Failure> {
    let namespace = needed
        .located
        .namespace
        .as_deref()
        .or(asking)
        .ok_or_else(|| {
            Failure::new(
                Stage::Login,
                Code::Internal,
                "a reference without a namespace was resolved for nobody",
            )
        })?;
    let resolved = match &needed.located.target {
        Target::Secret { name, label } => {
            let whole = credentials.secret(namespace, name).await?;
            return members(needed, whole, label.as_ref());
        }
        Target::SecretKey { name, key } => {
            let key = key.as_deref().or(needed.reference.default_key.as_deref());
            credentials.secret_key(namespace, name, key).await?
        }
        Target::ConfigMapKey { name, key } => {
            credentials.config_map_key(namespace, name, key).await?
        }
        Target::ServiceAccount { name, .. } => {
            let life = needed.reference.expires_in_s;
            credentials
                .service_account_token(namespace, name, &needed.audiences, life)
                .await?
        }
    };
    Ok(vec![(needed.clone(), resolved)])
}

/// Each key of a Secret that may be used. The label is looked at here, where the values are, so that no door forgets it.
fn members(
    needed: &Needed,
    whole: Whole,
    label: Option<&Label>,
) -> Result<Vec<(Needed, Resolved)>, Failure> {
    let object = &whole.object;
    let has = |label: &Label| {
        whole
            .labels
            .iter()
            .any(|(n, v)| *n == label.name && *v == label.value)
    };
    if let Some(label) = label.filter(|label| !has(label)) {
        return Err(Failure::new(
            Stage::Login,
            Code::CredentialMissing,
            format!(
                "{object} is not labelled for this use; give it the label \"{label}\" if the store may send it"
            ),
        ));
    }
    if whole.keys.is_empty() {
        return Err(Failure::new(
            Stage::Login,
            Code::CredentialKeyMissing,
            format!("{object} is empty; give it the keys that the store uses"),
        ));
    }
    let member = |(key, value): (String, SecretValue)| {
        let mut of_key = needed.clone();
        let escaped = key.replace('~', "~0").replace('/', "~1");
        of_key.reference.pointer = format!("{}/{escaped}", needed.reference.pointer);
        let resolved = Resolved {
            value,
            object: whole.object.clone(),
            version: whole.version.clone(),
            attributes: Vec::new(),
        };
        (of_key, resolved)
    };
    Ok(whole.keys.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed() -> Needed {
        Needed {
            reference: Reference {
                pointer: "/secrets/0/secretRef".into(),
                audiences: Vec::new(),
                expires_in_s: None,
                default_key: None,
            },
            located: Located {
                pointer: "/secrets/0/secretRef".into(),
                target: Target::Secret {
                    name: "s".into(),
                    label: None,
                },
                namespace: None,
            },
            audiences: Vec::new(),
        }
    }

    fn whole(labels: &[(&str, &str)], keys: &[&str]) -> Whole {
        Whole {
            keys: keys.iter().map(|k| ((*k).into(), (*k).into())).collect(),
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            object: ObjectName {
                kind: ObjectKind::Secret,
                namespace: "team".into(),
                name: "s".into(),
            },
            version: Version {
                uid: "u".into(),
                resource_version: "1".into(),
            },
        }
    }

    #[test]
    fn each_key_of_a_labelled_secret_is_a_credential() {
        let label = Label {
            name: "type".into(),
            value: "webhook".into(),
        };
        let found = whole(&[("type", "webhook")], &["a", "tls.key"]);
        let members = members(&needed(), found, Some(&label)).unwrap();
        let pointers: Vec<&str> = members
            .iter()
            .map(|(needed, _)| needed.reference.pointer.as_str())
            .collect();
        assert_eq!(
            pointers,
            ["/secrets/0/secretRef/a", "/secrets/0/secretRef/tls.key"]
        );
    }

    #[test]
    fn a_secret_without_the_label_is_refused_and_the_label_named() {
        let label = Label {
            name: "type".into(),
            value: "webhook".into(),
        };
        for labels in [&[][..], &[("type", "other")], &[("other", "webhook")]] {
            let refused = members(&needed(), whole(labels, &["a"]), Some(&label));
            let failure = refused.map(|_| ()).unwrap_err();
            assert_eq!(failure.code, Code::CredentialMissing);
            assert!(failure.public.contains("type: webhook"), "{failure}");
        }
        let empty = members(&needed(), whole(&[], &[]), None).map(|_| ());
        assert_eq!(empty.unwrap_err().code, Code::CredentialKeyMissing);
    }
}
