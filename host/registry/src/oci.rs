//! One artifact in an OCI registry, by the OCI distribution specification 1.1.

use std::sync::Once;
use std::time::Duration;

use futures::StreamExt as _;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use postern_core::failure::{Code, Failure, one_line};
use postern_core::plugin::Digest;
use postern_core::rollout::{DockerConfig, Source};

use crate::manifest::{self, Layer, MANIFEST_TYPE};
use crate::retry::patiently;
use crate::{COMPONENT_BYTES, auth, failed};

/// How long a registry may take to accept a connection, and between two pieces of an answer.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);
/// Manifests that are asked for.
const MANIFESTS: [&str; 2] = [
    MANIFEST_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A reference with all that is needed to speak with its registry.
pub(crate) struct Remote {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
    plain_http: bool,
}

impl Remote {
    pub(crate) fn open(source: &Source, credentials: &DockerConfig) -> Result<Self, Failure> {
        let Source::Oci {
            reference,
            plain_http,
            ca_pem,
            ..
        } = source
        else {
            return Err(failed(
                Code::Internal,
                "a file is no OCI artifact".to_owned(),
            ));
        };
        let parsed: Reference = reference.parse().map_err(|error| {
            failed(
                Code::InvalidSpec,
                format!(
                    "\"{}\" is no OCI reference such as registry/repository:tag: {error}",
                    one_line(reference, 200)
                ),
            )
        })?;
        let auth = match credentials {
            Some(config) => auth::of(config, parsed.registry())?,
            None => RegistryAuth::Anonymous,
        };
        use_ring();
        let config = ClientConfig {
            protocol: if *plain_http {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            extra_root_certificates: ca_pem
                .iter()
                .map(|pem| Certificate {
                    encoding: CertificateEncoding::Pem,
                    data: pem.clone(),
                })
                .collect(),
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            platform_resolver: None,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| {
            failed(Code::InvalidSpec, format!("the registry of {parsed} cannot be spoken with; look at spec.source.oci.caBundle: {error}"))
        })?;
        Ok(Self {
            client,
            reference: parsed,
            auth,
            plain_http: *plain_http,
        })
    }

    /// The digest of the manifest. A reference by digest is its own answer.
    pub(crate) async fn resolve(&self) -> Result<Digest, Failure> {
        if let Some(digest) = self.reference.digest() {
            return Digest::parse(digest).ok_or_else(|| {
                failed(
                    Code::InvalidSpec,
                    format!(
                        "the digest in {} is not sha256: and 64 hex digits",
                        self.reference
                    ),
                )
            });
        }
        // A question without an answer's body: registries count reads of manifests. What is read later is held against it.
        let asked = || async {
            let digest = self
                .client
                .fetch_manifest_digest(&self.reference, &self.auth);
            digest.await.map_err(|error| self.said(&error))
        };
        let digest = patiently(asked).await?;
        Digest::parse(&digest).ok_or_else(|| {
            failed(
                Code::PluginInvalid,
                format!(
                    "{}: the registry names it by \"{}\", which is not sha256: and 64 hex digits",
                    self.reference,
                    one_line(&digest, 100)
                ),
            )
        })
    }

    /// The layer that holds the component, by a manifest that has this digest.
    pub(crate) async fn layer(&self, manifest_digest: &Digest) -> Result<Layer, Failure> {
        let at = self
            .reference
            .clone_with_digest(manifest_digest.as_str().to_owned());
        let (bytes, _) = self.manifest(&at).await?;
        self.must_be(manifest_digest, &Digest::of(&bytes), "manifest")?;
        manifest::component(&bytes, &at.to_string())
    }

    /// The component. Errors: it is not what the layer's digest says, or larger than a component may be.
    pub(crate) async fn bytes(&self, layer: &Layer) -> Result<Vec<u8>, Failure> {
        let bytes = patiently(|| self.bytes_once(layer)).await?;
        self.must_be(&layer.digest, &Digest::of(&bytes), "component")?;
        Ok(bytes)
    }

    async fn bytes_once(&self, layer: &Layer) -> Result<Vec<u8>, Failure> {
        let descriptor = OciDescriptor {
            digest: layer.digest.as_str().to_owned(),
            ..OciDescriptor::default()
        };
        let stream = self
            .client
            .pull_blob_stream(&self.reference, &descriptor)
            .await;
        let mut stream = stream.map_err(|error| self.said(&error))?;
        let mut bytes = Vec::with_capacity(
            usize::try_from(layer.size)
                .unwrap_or_default()
                .min(COMPONENT_BYTES),
        );
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.broken_off(&error, layer))?;
            if bytes.len() + piece.len() > COMPONENT_BYTES {
                return Err(failed(
                    Code::PluginInvalid,
                    format!(
                        "{}: its component is larger than {} MiB, whatever its manifest says",
                        self.reference,
                        COMPONENT_BYTES >> 20
                    ),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The library holds the bytes against the digest as well, and says so at the end of the stream.
    fn broken_off(&self, error: &std::io::Error, layer: &Layer) -> Failure {
        let inner = error.get_ref();
        if inner.is_some_and(|inner| inner.is::<DigestError>()) {
            return failed(
                Code::DigestMismatch,
                format!(
                    "{}: the registry answered a component that does not have the digest {}; nothing of it is used",
                    self.reference,
                    layer.digest.as_str()
                ),
            );
        }
        failed(
            Code::Unavailable,
            format!(
                "{}: the download broke off: {}",
                self.reference,
                one_line(&error.to_string(), 200)
            ),
        )
    }

    /// Stores a component; answers the manifest's digest.
    pub(crate) async fn push(&self, component: &[u8]) -> Result<Digest, Failure> {
        if self.reference.digest().is_some() {
            return Err(failed(
                Code::InvalidSpec,
                format!(
                    "{} names a digest; push under a tag, and the digest follows",
                    self.reference
                ),
            ));
        }
        self.client
            .auth(&self.reference, &self.auth, RegistryOperation::Push)
            .await
            .map_err(|error| self.said(&error))?;
        let (config, manifest) = manifest::of(component);
        self.push_blob(component).await?;
        self.push_blob(&config).await?;
        let kind = http::HeaderValue::from_static(MANIFEST_TYPE);
        self.client
            .push_manifest_raw(&self.reference, manifest.clone(), kind)
            .await
            .map_err(|error| self.said(&error))?;
        Ok(Digest::of(&manifest))
    }

    async fn push_blob(&self, bytes: &[u8]) -> Result<(), Failure> {
        let digest = Digest::of(bytes);
        let pushed = self
            .client
            .push_blob(&self.reference, bytes.to_vec(), digest.as_str())
            .await;
        match pushed {
            // Some registries do not say where they put what they took. They have it all the same, or the manifest is refused.
            Ok(_) | Err(OciDistributionError::RegistryNoLocationError) => Ok(()),
            Err(error) => Err(self.said(&error)),
        }
    }

    async fn manifest(&self, at: &Reference) -> Result<(Vec<u8>, String), Failure> {
        patiently(|| async {
            let pulled = self
                .client
                .pull_manifest_raw(at, &self.auth, &MANIFESTS)
                .await;
            pulled
                .map(|(bytes, digest)| (bytes.to_vec(), digest))
                .map_err(|error| self.said(&error))
        })
        .await
    }

    fn must_be(&self, expected: &Digest, actual: &Digest, what: &str) -> Result<(), Failure> {
        if expected == actual {
            return Ok(());
        }
        Err(failed(
            Code::DigestMismatch,
            format!(
                "{}: the registry answered a {what} with the digest {}, not {}; nothing of it is used",
                self.reference,
                actual.as_str(),
                expected.as_str()
            ),
        ))
    }

    /// What the library said, as a failure with what to do. A registry's own words may hold anything, so they are not told.
    fn said(&self, error: &OciDistributionError) -> Failure {
        use OciDistributionError as E;
        let at = &self.reference;
        let denied = || {
            failed(
                Code::Denied,
                format!("{at}: the registry refused us; look at spec.source.oci.pullSecretRef"),
            )
        };
        let absent = || {
            failed(
                Code::NotFound,
                format!("{at} does not exist in its registry; look at spec.source.oci.reference"),
            )
        };
        match error {
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => denied(),
            E::ImageManifestNotFoundError(_) => absent(),
            E::ServerError {
                code: 401 | 403, ..
            } => denied(),
            E::ServerError { code: 404, .. } => absent(),
            E::ServerError { code: 429, .. } => failed(
                Code::RateLimited,
                format!("{at}: the registry asked us to slow down"),
            ),
            E::ServerError { code, .. } if *code >= 500 => failed(
                Code::Unavailable,
                format!("{at}: the registry answered {code}"),
            ),
            E::RegistryError { envelope, .. } => {
                let has = |wanted: &[OciErrorCode]| {
                    envelope.errors.iter().any(|e| wanted.contains(&e.code))
                };
                if has(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                    denied()
                } else if has(&[OciErrorCode::Toomanyrequests]) {
                    failed(
                        Code::RateLimited,
                        format!("{at}: the registry asked us to slow down"),
                    )
                } else if has(&[
                    OciErrorCode::ManifestUnknown,
                    OciErrorCode::NameUnknown,
                    OciErrorCode::BlobUnknown,
                    OciErrorCode::ManifestBlobUnknown,
                    OciErrorCode::NotFound,
                ]) {
                    absent()
                } else {
                    let codes: Vec<String> = envelope
                        .errors
                        .iter()
                        .map(|e| format!("{:?}", e.code))
                        .collect();
                    failed(
                        Code::Unavailable,
                        format!("{at}: the registry refused the request; its own log says why"),
                    )
                    .with_detail(codes.join(", "))
                }
            }
            E::DigestError(_) => failed(
                Code::DigestMismatch,
                format!(
                    "{at}: what the registry answered does not have its digest; nothing of it is used"
                ),
            ),
            E::RequestError(error) => self.unreachable(error),
            E::ImageIndexParsingNoPlatformResolverError => failed(
                Code::PluginInvalid,
                format!("{at} is an index of several platforms, not a plugin"),
            ),
            other => failed(
                Code::Unavailable,
                format!(
                    "{at}: the registry's answer cannot be understood: {}",
                    one_line(&other.to_string(), 200)
                ),
            ),
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        let mut causes = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            causes.push(error.to_string());
            next = error.source();
        }
        let last = causes
            .last()
            .map(|text| one_line(text, 200))
            .unwrap_or_default();
        let tls = causes.iter().any(|c| {
            c.contains("certificate")
                || c.contains("InvalidContentType")
                || c.contains("corrupt message")
        });
        let remedy = match (tls, self.plain_http) {
            (true, false) => {
                "; give its CA in spec.source.oci.caBundle, or set plainHTTP if it speaks no TLS"
            }
            (_, true) => "; plainHTTP is set: does it speak TLS?",
            (false, false) => "",
        };
        failed(
            Code::Unavailable,
            format!(
                "{}: its registry cannot be reached: {last}{remedy}",
                self.reference
            ),
        )
    }
}

/// The TLS library wants one provider of cryptography for the process; ours is ring everywhere.
fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails where somebody has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
