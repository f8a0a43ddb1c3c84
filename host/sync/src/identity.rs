//! As whom we ask: what a prepared identity holds, and how it gets its name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, Mac};
use postern_core::egress::EgressPolicy;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Call, Credential, IdentityId, Options, Revision};
use postern_core::store::Store;
use sha2::Sha256;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::ambient::Ambient;
use crate::credentials::{Needed, ObjectKind, Resolved};
use crate::fetcher::Fetcher;
use crate::session::Keeper;

/// What references led to, as of the last time they were followed.
pub(crate) struct Grants {
    /// What a guest may see.
    pub(crate) credentials: Vec<Credential>,
    pub(crate) egress: Arc<EgressPolicy>,
    /// When the tokens of service accounts among them were requested.
    pub(crate) tokens_at: Instant,
}

/// As whom we ask one store, with all that hangs on it.
pub(crate) struct Identity {
    pub(crate) id: IdentityId,
    pub(crate) store: Arc<Store>,
    pub(crate) plugin: Arc<Revision>,
    /// The namespace that asks, where it matters: for references without one, or because the plugin says so.
    pub(crate) asking: Option<String>,
    /// The same, as far as the plugin may know it.
    pub(crate) told_namespace: Option<String>,
    pub(crate) needed: Vec<Needed>,
    /// What it uses of Postern's own environment.
    pub(crate) ambient: Vec<Ambient>,
    options: Options,
    pub(crate) directories: Arc<BTreeMap<String, PathBuf>>,
    pub(crate) keeper: Keeper,
    pub(crate) fetcher: Arc<Fetcher>,
    /// The store was forgotten or has a newer edition: no successor takes this one's place.
    pub(crate) gone: AtomicBool,
    grants: Mutex<Arc<Grants>>,
}

/// The parts of an identity that are decided before it is put together.
pub(crate) struct Parts {
    pub(crate) id: IdentityId,
    pub(crate) store: Arc<Store>,
    pub(crate) plugin: Arc<Revision>,
    pub(crate) asking: Option<String>,
    pub(crate) told_namespace: Option<String>,
    pub(crate) needed: Vec<Needed>,
    pub(crate) ambient: Vec<Ambient>,
    pub(crate) options: Options,
    pub(crate) directories: Arc<BTreeMap<String, PathBuf>>,
    pub(crate) grants: Grants,
}

impl Identity {
    pub(crate) fn new(parts: Parts, keeper: Keeper, fetcher: Arc<Fetcher>) -> Self {
        Self {
            id: parts.id,
            store: parts.store,
            plugin: parts.plugin,
            asking: parts.asking,
            told_namespace: parts.told_namespace,
            needed: parts.needed,
            ambient: parts.ambient,
            options: parts.options,
            directories: parts.directories,
            keeper,
            fetcher,
            gone: AtomicBool::new(false),
            grants: Mutex::new(Arc::new(parts.grants)),
        }
    }

    pub(crate) fn grants(&self) -> Arc<Grants> {
        self.grants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_grants(&self, grants: Grants) {
        *self.grants.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(grants);
    }

    /// Puts fresh tokens, of service accounts and out of files, in the place of the old ones.
    pub(crate) fn set_tokens(&self, tokens: Vec<Credential>, now: Instant) {
        let old = self.grants();
        let mut credentials = old.credentials.clone();
        for token in tokens {
            if let Some(credential) = credentials.iter_mut().find(|c| c.pointer == token.pointer) {
                *credential = token;
            }
        }
        self.set_grants(Grants {
            credentials,
            egress: old.egress.clone(),
            tokens_at: now,
        });
    }

    /// A call as this identity, without credentials and session.
    pub(crate) fn call(&self, deadline: Duration) -> Call {
        Call {
            plugin: self.plugin.digest.clone(),
            identity: self.id.clone(),
            config: self.store.config.clone(),
            credentials: Vec::new(),
            session: None,
            namespace: self.told_namespace.clone(),
            egress: self.grants().egress.clone(),
            directories: self.directories.clone(),
            deadline,
            options: self.options.clone(),
        }
    }

    /// The shortest life of a token among the references, of service accounts and out of files; none where there is no
    /// such token.
    pub(crate) fn token_life(&self) -> Option<Duration> {
        // The API server's own shortest life, where nobody asked for another. Files are written anew before theirs ends.
        const LIFE: u32 = 600;
        let lives = self
            .needed
            .iter()
            .filter(|n| n.is_token())
            .map(|n| n.reference.expires_in_s.unwrap_or(LIFE));
        let files = self.ambient.iter().filter(|a| a.is_file()).map(|_| LIFE);
        lives
            .chain(files)
            .min()
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// Names identities by a key that lives as long as the process, so that a name says nothing of what it is made of.
pub(crate) struct Namer(Zeroizing<[u8; 32]>);

impl Namer {
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|error| {
            Failure::new(
                Stage::Login,
                Code::Internal,
                "the system gave no random bytes",
            )
            .with_detail(error.to_string())
        })?;
        Ok(Self(key))
    }

    /// The name of an identity. A service account counts by what it is, not by the token, which differs each time.
    pub(crate) fn name(
        &self,
        store: &Store,
        plugin: &Revision,
        resolved: &[(Needed, Resolved)],
        asking: Option<&str>,
    ) -> Result<IdentityId, Failure> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).map_err(|_| {
            Failure::new(
                Stage::Login,
                Code::Internal,
                "the key of identities has a wrong length",
            )
        })?;
        let mut field = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        field(store.uid.as_bytes());
        field(store.provider_key.as_bytes());
        field(store.config.as_bytes());
        field(plugin.digest.as_str().as_bytes());
        field(if asking.is_some() {
            b"asking"
        } else {
            b"anybody"
        });
        field(asking.unwrap_or_default().as_bytes());
        for (needed, resolved) in resolved {
            field(needed.reference.pointer.as_bytes());
            if resolved.object.kind == ObjectKind::ServiceAccount {
                field(resolved.object.to_string().as_bytes());
                field(resolved.version.uid.as_bytes());
            } else {
                field(resolved.value.expose());
            }
            for (name, value) in &resolved.attributes {
                field(name.as_bytes());
                field(value.as_bytes());
            }
            field(b"end");
        }
        Ok(IdentityId(hex::encode(mac.finalize().into_bytes())))
    }
}
