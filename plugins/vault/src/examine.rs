//! What a config needs: which references, and which server with which TLS material. Material that the
//! host presents itself (CA, client certificate, key) is named by the endpoint only, so that it never
//! comes here as a credential.

use postern_plugin_shared::google::pool;
use postern_sdk::{Endpoint, Material, Needs, Reference};

use crate::config::{Auth, Ca, Config, GOOGLE_KEY, GOOGLE_WORKLOAD, Signer};
use crate::google::{IAM_CREDENTIALS, SECURE_TOKEN};

/// The needs of a checked config.
#[must_use]
pub fn needs(config: &Config) -> Needs {
    Needs {
        per_namespace: false,
        references: config.auth.as_ref().map(references).unwrap_or_default(),
        endpoints: endpoints(config),
        options: Vec::new(),
    }
}

fn references(auth: &Auth) -> Vec<Reference> {
    match auth {
        Auth::Token => vec![Reference::at("/auth/tokenSecretRef")],
        Auth::AppRole { role_id, .. } => {
            let role = role_id
                .is_none()
                .then(|| Reference::at("/auth/appRole/roleRef"));
            role.into_iter()
                .chain([Reference::at("/auth/appRole/secretRef")])
                .collect()
        }
        Auth::Jwt { source, .. } => {
            let mut reference = Reference::at(source.pointer);
            if let Some(account) = &source.account {
                reference.audiences = account.audiences.clone();
                reference.expires_in_s = Some(account.expires_in_s);
            } else if source.pointer == "/auth/kubernetes/secretRef" {
                reference.options = default_key("default-key", "token");
            }
            vec![reference]
        }
        Auth::Password { pointer, .. } => vec![Reference::at(*pointer)],
        Auth::Certificate { .. } => Vec::new(),
        Auth::Google { signer, .. } => match signer {
            Signer::Key => vec![Reference::at(GOOGLE_KEY)],
            Signer::Cluster(cluster) => vec![Reference {
                audiences: vec![pool(&cluster.project)],
                expires_in_s: Some(900),
                ..Reference::at(GOOGLE_WORKLOAD)
            }],
        },
    }
}

/// The server, and where Google signs, Google.
fn endpoints(config: &Config) -> Vec<Endpoint> {
    let mut all = vec![endpoint(config)];
    if let Some(Auth::Google {
        signer: Signer::Cluster(_),
        ..
    }) = &config.auth
    {
        all.extend([SECURE_TOKEN, IAM_CREDENTIALS].map(|origin| Endpoint {
            origin: origin.to_owned(),
            ..Endpoint::default()
        }));
    }
    all
}

fn endpoint(config: &Config) -> Endpoint {
    let ca = config.ca.as_ref().map(|ca| match ca {
        Ca::Pem(pem) => Material::Pem(pem.clone()),
        Ca::Reference => Material::Pointer("/caProvider".to_owned()),
    });
    let (certificate, key) = match (&config.auth, config.tls) {
        (Some(Auth::Certificate { .. }), _) => ("/auth/cert/clientCert", "/auth/cert/secretRef"),
        (_, true) => ("/tls/certSecretRef", "/tls/keySecretRef"),
        (_, false) => {
            return Endpoint {
                origin: config.origin.clone(),
                ca,
                ..Endpoint::default()
            };
        }
    };
    let mut options = default_key("client-certificate-default-key", "tls.crt");
    options.extend(default_key("client-key-default-key", "tls.key"));
    Endpoint {
        origin: config.origin.clone(),
        ca,
        client_certificate: Some(Material::Pointer(certificate.to_owned())),
        client_key: Some(Material::Pointer(key.to_owned())),
        server_name: None,
        options,
    }
}

fn default_key(name: &str, key: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), key.to_owned())]
}
