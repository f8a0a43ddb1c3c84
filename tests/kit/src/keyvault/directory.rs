//! The directory: tokens for applications, and for the node.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{KeyVault, State, Token, now};
use crate::http_server::{Asked, Query, Reply, parameters};

/// Whom a federated token must be for.
const EXCHANGE: &str = "api://AzureADTokenExchange";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How an application may prove who it is.
#[derive(Debug, Default)]
pub(super) struct Application {
    secret: Option<String>,
    pub certificates: Vec<Vec<u8>>,
}

impl Application {
    pub fn with_secret(secret: &str) -> Self {
        Self {
            secret: Some(secret.to_owned()),
            certificates: Vec::new(),
        }
    }
}

/// Tokens of an issuer that stand for an application.
#[derive(Debug)]
pub(super) struct Federated {
    pub client: String,
    pub issuer: String,
    pub subject: String,
}

/// A number of the directory's and its words.
type Wrong = (u32, &'static str, String);

impl State {
    pub(super) fn directory(&mut self, asked: &Asked, path: &str, query: &Query) -> Reply {
        if let Some((status, body)) = &self.directory_fault {
            return Reply::json(*status, body);
        }
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), &segments[..]) {
            ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => self.about(tenant),
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => {
                let form = parameters(&String::from_utf8_lossy(&asked.body));
                self.grant(tenant, &format!("{}{path}", self.directory_url), &form)
            }
            ("GET", ["metadata", "identity", "oauth2", "token"]) => self.tell_node(asked, query),
            ("GET", ["msi", "token"]) => self.tell_app(asked, query),
            _ => Reply::json(404, &Value::Null),
        }
    }

    fn about(&self, tenant: &str) -> Reply {
        let base = format!("{}/{tenant}", self.directory_url);
        Reply::json(
            200,
            &json!({
                "issuer": format!("{base}/v2.0"),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            }),
        )
    }

    fn grant(&mut self, tenant: &str, endpoint: &str, form: &Query) -> Reply {
        match self.granted(tenant, endpoint, form) {
            Ok((client, resource)) => {
                let token = self.issue(&client, tenant, &resource);
                Reply::json(
                    200,
                    &json!({"token_type": "Bearer", "expires_in": self.token_life,
                        "ext_expires_in": self.token_life, "access_token": token}),
                )
            }
            Err((number, error, words)) => refused(number, error, &words),
        }
    }

    /// Who is let in, and for what.
    fn granted(
        &self,
        tenant: &str,
        endpoint: &str,
        form: &Query,
    ) -> Result<(String, String), Wrong> {
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        if get("grant_type") != "client_credentials" {
            return Err((
                900_144,
                "invalid_request",
                "the grant type is missing".into(),
            ));
        }
        if tenant.len() != 36 {
            let words = format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            );
            return Err((90_002, "invalid_request", words));
        }
        let client = get("client_id");
        let Some(application) = self.applications.get(client) else {
            let words = format!(
                "Application with identifier '{client}' was not found in the directory '{tenant}'."
            );
            return Err((700_016, "unauthorized_client", words));
        };
        match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(secret), None) => {
                if application.secret.as_ref() != Some(secret) {
                    let words = format!(
                        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
                    );
                    return Err((7_000_215, "invalid_client", words));
                }
            }
            (None, Some(assertion)) if get("client_assertion_type") == ASSERTION_TYPE => {
                self.assertion(client, application, endpoint, assertion)?;
            }
            _ => {
                let words = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
                return Err((7_000_216, "invalid_client", words.into()));
            }
        }
        let scope = get("scope")
            .split(' ')
            .find_map(|s| s.strip_suffix("/.default"));
        match scope {
            Some(scope) if scope.starts_with("https://") => {
                Ok((client.to_owned(), scope.to_owned()))
            }
            _ => {
                let words = "The provided value for scope is not valid.".to_owned();
                Err((1_002_012, "invalid_scope", words))
            }
        }
    }

    /// A token that the application signed itself, or one of an issuer that stands for it.
    fn assertion(
        &self,
        client: &str,
        application: &Application,
        endpoint: &str,
        assertion: &str,
    ) -> Result<(), Wrong> {
        let jwt = Jwt::read(assertion).ok_or_else(|| {
            let words = "Client assertion is malformed.".to_owned();
            (50_027, "invalid_request", words)
        })?;
        // Fractions of seconds are allowed, and Microsoft's own client sends them.
        let moment = |name: &str| {
            let text = jwt.claims[name].to_string();
            text.split('.').next().and_then(|s| s.parse::<u64>().ok())
        };
        if moment("exp").is_none_or(|exp| exp <= now()) || moment("nbf").is_some_and(|n| n > now())
        {
            let words = "Client assertion is not within its valid time range.".to_owned();
            return Err((700_024, "invalid_client", words));
        }
        if jwt.claims["iss"] != client {
            return self.federated(client, &jwt);
        }
        let certificate = application.certificates.iter().find(|der| jwt.names(der));
        let signed = certificate.is_some_and(|der| jwt.is_signed_by(der));
        if !signed {
            let words = "Client assertion failed signature validation. The key was not found.";
            return Err((700_027, "invalid_client", words.into()));
        }
        if jwt.claims["sub"] != client || jwt.claims["aud"] != endpoint {
            let words = "Client assertion audience claim does not match Realm issuer.";
            return Err((700_023, "invalid_client", words.into()));
        }
        Ok(())
    }

    fn federated(&self, client: &str, jwt: &Jwt) -> Result<(), Wrong> {
        let claim = |name: &str| jwt.claims[name].as_str().unwrap_or_default().to_owned();
        let (issuer, subject) = (claim("iss"), claim("sub"));
        let audience = match &jwt.claims["aud"] {
            Value::Array(all) => all.iter().any(|a| a == EXCHANGE),
            one => one == EXCHANGE,
        };
        let trusted = self
            .federated
            .iter()
            .any(|f| f.client == client && f.issuer == issuer && f.subject == subject);
        if trusted && audience {
            return Ok(());
        }
        let words = format!(
            "No matching federated identity record found for presented assertion subject '{subject}'."
        );
        Err((700_213, "invalid_client", words))
    }

    fn issue(&mut self, client: &str, tenant: &str, resource: &str) -> String {
        self.issued += 1;
        let seed = format!(
            "{client}{tenant}{resource}{}{:?}",
            self.issued,
            Instant::now()
        );
        let token = format!("eyJ0eXAi.{}", hex::encode(Sha256::digest(seed)));
        self.tokens.insert(
            token.clone(),
            Token {
                application: client.to_owned(),
                tenant: tenant.to_owned(),
                resource: resource.to_owned(),
                ends: Instant::now() + Duration::from_secs(self.token_life),
            },
        );
        token
    }

    /// What the node tells a pod on it; numbers are texts here.
    fn tell_node(&mut self, asked: &Asked, query: &Query) -> Reply {
        let wrong = |words: &str| {
            let body = json!({"error": "invalid_request", "error_description": words});
            Reply::json(400, &body)
        };
        if asked.header("metadata") != Some("true") {
            return wrong("Required metadata header not specified");
        }
        self.tell(query, "2018-02-01")
    }

    /// What the platform tells an app of its own, which shows that it is the app.
    fn tell_app(&mut self, asked: &Asked, query: &Query) -> Reply {
        if asked.header("x-identity-header") != Some(KeyVault::IDENTITY_HEADER) {
            return Reply::json(401, &Value::Null);
        }
        self.tell(query, "2019-08-01")
    }

    fn tell(&mut self, query: &Query, version: &str) -> Reply {
        let wrong = |words: &str| {
            let body = json!({"error": "invalid_request", "error_description": words});
            Reply::json(400, &body)
        };
        if query.get("api-version").map(String::as_str) != Some(version) {
            return wrong("Required query variable 'api-version' is missing");
        }
        let Some(resource) = query.get("resource") else {
            return wrong("Required query variable 'resource' is missing");
        };
        let named = query.get("client_id");
        let found = self.node.iter().find(|c| named.is_none_or(|n| n == *c));
        let Some(client) = found.cloned() else {
            return wrong("Identity not found");
        };
        let resource = resource.trim_end_matches('/').to_owned();
        let token = self.issue(&client, KeyVault::TENANT, &resource);
        let life = self.token_life;
        Reply::json(
            200,
            &json!({"access_token": token, "client_id": client, "expires_in": life.to_string(),
                "expires_on": (now() + life).to_string(), "resource": resource, "token_type": "Bearer"}),
        )
    }
}

/// A JSON Web Token in its parts.
struct Jwt {
    header: Value,
    claims: Value,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Jwt {
    fn read(text: &str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            signed: signed.as_bytes().to_vec(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether the header names the certificate by one of its thumbprints.
    fn names(&self, der: &[u8]) -> bool {
        let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
        // Microsoft's own client pads them.
        let is = |name: &str, thumbprint: &[u8]| {
            let given = self.header[name].as_str().map(|t| t.trim_end_matches('='));
            given == Some(URL_SAFE_NO_PAD.encode(thumbprint).as_str())
        };
        is("x5t#S256", &Sha256::digest(der)) || is("x5t", sha1.as_ref())
    }

    fn is_signed_by(&self, der: &[u8]) -> bool {
        let algorithm: &dyn SignatureVerificationAlgorithm = match self.header["alg"].as_str() {
            Some("PS256") => webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            Some("RS256") => webpki::ring::RSA_PKCS1_2048_8192_SHA256,
            _ => return false,
        };
        let der = CertificateDer::from(der);
        let certificate = webpki::EndEntityCert::try_from(&der);
        certificate.is_ok_and(|c| {
            c.verify_signature(algorithm, &self.signed, &self.signature)
                .is_ok()
        })
    }
}

fn refused(number: u32, error: &str, words: &str) -> Reply {
    let status = if error == "invalid_client" { 401 } else { 400 };
    let trace = "0c1a0a86-0000-4000-8000-000000000000";
    Reply::json(
        status,
        &json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {words} Trace ID: {trace} Correlation ID: {trace} Timestamp: 2026-01-01 00:00:00Z"),
            "error_codes": [number], "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": trace, "correlation_id": trace,
            "error_uri": format!("{endpoint}?code={number}", endpoint = "https://login.microsoftonline.com/error"),
        }),
    )
}
