//! How credentials are reached: a trait that the cluster (API server) and the standalone mode (a folder) implement, and
//! the one place that follows a located reference through it.
//!
//! Nothing here decides from which namespace a reference may be read; `postern_core::reference` does.

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answering, Options, Reference};
use postern_core::reference::{Located, Target};
use postern_core::secret::SecretValue;

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

    /// The state of an object without its content; none if it is gone.
    fn version<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Version>>;
}

/// A reference of a config with its place decided, as it is kept beside an identity.
#[derive(Clone, Debug)]
pub(crate) struct Needed {
    pub(crate) reference: Reference,
    pub(crate) located: Located,
}

impl Needed {
    pub(crate) fn is_token(&self) -> bool {
        matches!(self.located.target, Target::ServiceAccount { .. })
    }
}

/// Follows a reference; `asking` is the namespace that stands in where the reference names none.
pub(crate) async fn resolve(
    credentials: &dyn Credentials,
    needed: &Needed,
    asking: Option<&str>,
) -> Result<Resolved, Failure> {
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
    match &needed.located.target {
        Target::SecretKey { name, key } => {
            let key = key.as_deref().or(needed.reference.default_key.as_deref());
            credentials.secret_key(namespace, name, key).await
        }
        Target::ConfigMapKey { name, key } => {
            credentials.config_map_key(namespace, name, key).await
        }
        Target::ServiceAccount { name, audiences } => {
            let mut all = needed.reference.audiences.clone();
            all.extend(
                audiences
                    .iter()
                    .filter(|a| !needed.reference.audiences.contains(a))
                    .cloned(),
            );
            credentials
                .service_account_token(namespace, name, &all, needed.reference.expires_in_s)
                .await
        }
    }
}
