//! Google identities, for whoever logs in with one: the key of a service account, and the ServiceAccount of a GKE cluster.
//! Builds and reads; sends nothing.

use postern_sdk::{Credential, Failure, HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::jwt::{Algorithm, Signer};

/// The one scope that Google's APIs take for everything; what it opens, roles decide.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The annotation by which a ServiceAccount names the service account that it acts as.
pub const ACTS_AS: &str = "annotation:iam.gke.io/gcp-service-account";

/// What is in a signed token that vouches.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// What is asked for in its place.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The trade of one for the other (RFC 8693).
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// How long a backend's own words may be in a log.
const DETAIL_LIMIT: usize = 300;

/// The file that Google gives out as a service account's key.
#[derive(Deserialize)]
pub struct Key {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    token_uri: String,
}

impl Key {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let key: Self = serde_json::from_slice(bytes).map_err(|_| "is no JSON of a key")?;
        if key.kind != "service_account" {
            return Err("is not the key of a service account: its type is another");
        }
        if key.client_email.is_empty() || key.private_key.is_empty() || key.token_uri.is_empty() {
            return Err("lacks client_email, private_key or token_uri");
        }
        Ok(key)
    }

    /// Whose key it is.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.client_email
    }

    /// Where it says that its assertions are traded for tokens.
    #[must_use]
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// A signed token of these claims; `random` blinds the use of the key.
    ///
    /// # Errors
    /// `invalid-config` for a key that cannot sign.
    pub fn sign(&self, claims: &Value, random: impl FnMut() -> u64) -> Result<String, Failure> {
        let header =
            json!({"alg": Algorithm::Rs256.name(), "typ": "JWT", "kid": self.private_key_id});
        let wrong = |what: &str| {
            Failure::invalid_config(format!(
                "the private_key of the service account's key {what}: take the file as Google gives it"
            ))
        };
        let signer = Signer::from_pem(&self.private_key).map_err(wrong)?;
        let (header, claims) = (header.to_string(), claims.to_string());
        signer
            .token(Algorithm::Rs256, &header, &claims, random)
            .map_err(wrong)
    }
}

/// A GKE cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its project.
    pub project: String,
    /// Its location.
    pub location: String,
    /// Its name.
    pub name: String,
}

impl Cluster {
    /// The trade of a ServiceAccount's token for one of the cluster's identity pool.
    #[must_use]
    pub fn trade(&self, base: &str, subject: &str) -> HttpRequest {
        let Self {
            project,
            location,
            name,
        } = self;
        let pool = pool(project);
        let issuer = format!(
            "https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}"
        );
        let body = json!({
            "grant_type": EXCHANGE, "subject_token_type": JWT, "requested_token_type": ACCESS_TOKEN,
            "subject_token": subject, "audience": format!("identitynamespace:{pool}:{issuer}"), "scope": SCOPE,
        });
        json_post(format!("{base}/v1/identitybindingtoken"), &body, None)
    }
}

/// The workload identity pool of a project's clusters, which is the audience of tokens for it.
#[must_use]
pub fn pool(project: &str) -> String {
    format!("{project}.svc.id.goog")
}

/// The service account that a ServiceAccount acts as, if it is annotated so.
///
/// # Errors
/// `invalid-config` for what names none, and might lead to another path.
pub fn acts_as(credential: &Credential) -> Result<Option<String>, Failure> {
    let named = credential
        .attributes
        .iter()
        .find(|(n, v)| n == ACTS_AS && !v.is_empty());
    match named {
        None => Ok(None),
        Some((_, email)) if is_account(email) => Ok(Some(email.clone())),
        Some(_) => Err(Failure::invalid_config(format!(
            "the annotation iam.gke.io/gcp-service-account of the account of {} is no service account's address",
            credential.pointer
        ))),
    }
}

/// Whether a text names a service account, and nothing that would lead to another path.
#[must_use]
pub fn is_account(email: &str) -> bool {
    email.contains('@') && is_plain(email, "-_.@")
}

/// Letters, digits and these others only, so that it stays one piece of a path and of a host's name.
#[must_use]
pub fn is_plain(text: &str, others: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// A POST of JSON, with a token if one is given.
#[must_use]
pub fn json_post(url: String, body: &Value, token: Option<&str>) -> HttpRequest {
    post(
        url,
        "application/json",
        body.to_string().into_bytes(),
        token,
    )
}

/// A POST, with a token if one is given.
#[must_use]
pub fn post(url: String, kind: &str, body: Vec<u8>, token: Option<&str>) -> HttpRequest {
    let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
    if let Some(token) = token {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    HttpRequest {
        method: "POST".to_owned(),
        url,
        headers,
        body: Some(body),
        options: Vec::new(),
    }
}

/// An access token, as it was given.
pub struct Token {
    /// The token.
    pub text: String,
    /// Its life in seconds.
    pub life_s: Option<u64>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: Value,
    error_description: String,
}

/// The token in the answer of a token endpoint (RFC 6749); `who` is who was shown to it.
///
/// # Errors
/// `unauthenticated` where it refuses, others by status.
pub fn granted(response: &HttpResponse, who: &str, sent: &[&str]) -> Result<Token, Failure> {
    if response.status == 200 {
        let given: Option<Granted> = serde_json::from_slice(&response.body).ok();
        let given = given
            .filter(|g| !g.access_token.is_empty())
            .ok_or_else(|| Failure::unavailable(format!("the answer to {who} holds no token")))?;
        return Ok(Token {
            text: given.access_token,
            life_s: given.expires_in,
        });
    }
    let refused: Refused = serde_json::from_slice(&response.body).unwrap_or_default();
    // A token endpoint says a word; Google's other servers an object with a message.
    let (word, words) = match &refused.error {
        Value::Object(error) => {
            let member = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            (member("status").to_owned(), member("message").to_owned())
        }
        error => (
            error.as_str().unwrap_or_default().to_owned(),
            refused.error_description,
        ),
    };
    let plain = is_plain(&word, "_") && word.len() <= 40;
    let word = if plain { word.as_str() } else { "no reason" };
    let status = response.status;
    let failure = match status {
        400 | 401 | 403 => {
            Failure::unauthenticated(format!("Google does not accept {who} ({word})"))
        }
        429 => Failure::rate_limited(
            format!("Google asks to slow down with {who}"),
            response.retry_after_ms(),
        ),
        404 => Failure::not_found(format!(
            "there is no token endpoint for {who}: check endpoints"
        )),
        _ => Failure {
            retry_after_ms: response.retry_after_ms(),
            ..Failure::unavailable(format!(
                "the token endpoint answered {who} with status {status}"
            ))
        },
    };
    Err(with_words(failure, status, &words, sent))
}

/// Adds the backend's words for logs, without anything we sent as a secret.
#[must_use]
pub fn with_words(failure: Failure, status: u16, words: &str, sent: &[&str]) -> Failure {
    let mut text = words.to_owned();
    for secret in sent.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "<redacted>");
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(DETAIL_LIMIT).collect();
    let failure = failure.with_detail("status", status.to_string());
    if text.is_empty() {
        failure
    } else {
        failure.with_detail("server-said", text)
    }
}
