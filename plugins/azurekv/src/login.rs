//! Credentials to a token. The session is the token's text. It is not renewed, since the same credentials make a new one,
//! and it cannot be revoked.

use postern_plugin_shared::encode;
use postern_plugin_shared::jwt::{Algorithm, Signer, blocks, x5t, x5t_s256};
use postern_sdk::{Context, Credential, Failure, Host, HttpRequest, HttpResponse, Session, option};
use serde::Deserialize;
use serde_json::json;

use crate::config::{
    ACCOUNT, Auth, CLIENT_CERTIFICATE, CLIENT_ID, CLIENT_SECRET, Config, Federation, OWN_CLIENT_ID,
    OWN_TENANT_ID, OWN_TOKEN, Proof, TENANT_FORM, TENANT_ID, is_tenant,
};
use crate::own::{self, Platform};
use crate::wire::{in_brackets, with_words};

/// The annotation by which an account names the application that trusts it.
pub const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";
/// The annotation by which it names the directory.
pub const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";

/// How long a signed assertion is good for.
const ASSERTION_LIFE_S: u64 = 600;
/// How far the clock of this host may be ahead of the directory's.
const SKEW_S: u64 = 300;

/// Opens a session.
///
/// # Errors
/// `unauthenticated` where the directory refuses the credentials, others as for any exchange.
pub fn open(host: &dyn Host, config: &Config, context: &Context) -> Result<Session, Failure> {
    let exchange = match &config.auth {
        Auth::ServicePrincipal {
            login,
            tenant,
            proof,
        } => {
            let place = Place::new(&login.url, tenant);
            let client = Client {
                id: text(context.credential(CLIENT_ID)?)?,
                proof: prove(host, context, &place, *proof)?,
            };
            place.exchange(&config.resource, client)
        }
        Auth::ManagedIdentity { identity } => {
            let platform = own::platform(&context.credentials);
            of_platform(platform, &config.resource, identity.as_deref())
        }
        Auth::WorkloadIdentity(federation) => {
            let (place, client) = federated(federation, context)?;
            place.exchange(&config.resource, client)
        }
        Auth::OwnIdentity { login, custom } => {
            let part = |pointer| own::needed(context, pointer).and_then(text);
            let client = Client {
                id: part(OWN_CLIENT_ID)?,
                proof: ClientProof::Assertion(part(OWN_TOKEN)?),
            };
            let tenant = part(OWN_TENANT_ID)?;
            let login = own::login(login.as_ref(), *custom, &context.credentials)?;
            Place::new(&login.url, &tenant).exchange(&config.resource, client)
        }
    };
    let response = host.send(&exchange.request)?;
    session(&response, &exchange)
}

/// One request for a token.
struct Exchange {
    request: HttpRequest,
    /// What was sent that nobody may see.
    secrets: Vec<String>,
    /// For messages.
    at: String,
}

impl Exchange {
    fn is_of_platform(&self) -> bool {
        self.request.method == "GET"
    }
}

/// Where one logs in.
struct Place {
    url: String,
    /// An AD FS of one's own knows fewer algorithms.
    is_ad_fs: bool,
}

impl Place {
    fn new(login: &str, tenant: &str) -> Self {
        let is_ad_fs = tenant.eq_ignore_ascii_case("adfs");
        let path = if is_ad_fs {
            "adfs/oauth2/token".to_owned()
        } else {
            format!("{}/oauth2/v2.0/token", encode(tenant))
        };
        Self {
            url: format!("{login}/{path}"),
            is_ad_fs,
        }
    }

    fn exchange(&self, resource: &str, client: Client) -> Exchange {
        let scope = format!("{resource}/.default");
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &client.id),
            ("scope", &scope),
        ];
        let secret = match &client.proof {
            ClientProof::Secret(secret) => {
                fields.push(("client_secret", secret));
                secret
            }
            ClientProof::Assertion(assertion) => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                fields.push(("client_assertion_type", kind));
                fields.push(("client_assertion", assertion));
                assertion
            }
        };
        let form: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let headers = [
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        Exchange {
            request: HttpRequest {
                method: "POST".to_owned(),
                url: self.url.clone(),
                headers: owned(&headers),
                body: Some(form.join("&").into_bytes()),
                options: Vec::new(),
            },
            secrets: vec![secret.clone(), encode(secret)],
            at: self.url.clone(),
        }
    }
}

/// Who logs in.
struct Client {
    id: String,
    proof: ClientProof,
}

enum ClientProof {
    Secret(String),
    Assertion(String),
}

fn prove(
    host: &dyn Host,
    context: &Context,
    place: &Place,
    proof: Proof,
) -> Result<ClientProof, Failure> {
    match proof {
        Proof::Secret => {
            // As it stands: a secret may end in anything.
            let credential = context.credential(CLIENT_SECRET)?;
            utf8(credential).map(|secret| ClientProof::Secret(secret.to_owned()))
        }
        Proof::Certificate => {
            let credential = context.credential(CLIENT_CERTIFICATE)?;
            let client = text(context.credential(CLIENT_ID)?)?;
            assertion(host, place, &client, utf8(credential)?)
                .map(ClientProof::Assertion)
                .map_err(|what| {
                    let pointer = &credential.pointer;
                    Failure::invalid_config(format!(
                        "what {pointer} refers to {what}: it must be PEM with a certificate and its RSA key"
                    ))
                })
        }
    }
}

/// The token by which an application says who it is, signed with the key of its certificate.
fn assertion(
    host: &dyn Host,
    place: &Place,
    client: &str,
    pem: &str,
) -> Result<String, &'static str> {
    let certificate = blocks(pem)?
        .into_iter()
        .find(|b| b.label == "CERTIFICATE")
        .ok_or("holds no certificate")?;
    let signer = Signer::from_pem(pem)?;
    let algorithm = if place.is_ad_fs {
        Algorithm::Rs256
    } else {
        Algorithm::Ps256
    };
    let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
    match algorithm {
        Algorithm::Rs256 => header["x5t"] = x5t(&certificate.der).into(),
        Algorithm::Ps256 => header["x5t#S256"] = x5t_s256(&certificate.der).into(),
    }
    let now = host.now_ns() / 1_000_000_000;
    let claims = json!({
        "aud": place.url,
        "iss": client,
        "sub": client,
        "jti": format!("{:016x}{:016x}", host.random_u64(), host.random_u64()),
        "nbf": now.saturating_sub(SKEW_S),
        "exp": now + ASSERTION_LIFE_S,
    });
    signer.token(algorithm, &header.to_string(), &claims.to_string(), || {
        host.random_u64()
    })
}

/// The application and the directory that a service account belongs to. What is said twice is an error, unless the store
/// says `useAzureSDK`: then the annotation of the client and the tenant of the config come first.
fn federated(federation: &Federation, context: &Context) -> Result<(Place, Client), Failure> {
    let account = context.credential(ACCOUNT)?;
    let annotation = |name: &str| {
        let value = option(&account.attributes, &format!("annotation:{name}"))?;
        Some(value.trim().to_owned()).filter(|v| !v.is_empty())
    };
    let referred = |pointer: &str, wanted: bool| {
        let credential = wanted.then(|| context.credential(pointer)).transpose()?;
        credential.map(text).transpose()
    };
    let by_reference = referred(CLIENT_ID, federation.client_reference)?;
    let id = match (annotation(CLIENT_ANNOTATION), by_reference) {
        (Some(_), Some(_)) if !federation.first_wins => {
            return Err(twice("client id", CLIENT_ID, CLIENT_ANNOTATION));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => {
            return Err(Failure::invalid_config(format!(
                "no client id: annotate the service account of {ACCOUNT} with {CLIENT_ANNOTATION}, or set {CLIENT_ID}"
            )));
        }
    };
    let by_config = match referred(TENANT_ID, federation.tenant_reference)? {
        Some(tenant) if !is_tenant(&tenant) => {
            let text = format!("what {TENANT_ID} refers to {TENANT_FORM}");
            return Err(Failure::invalid_config(text));
        }
        Some(tenant) => Some(tenant),
        None => federation.tenant.clone(),
    };
    let tenant = match (by_config, annotation(TENANT_ANNOTATION)) {
        (Some(_), Some(_)) if !federation.first_wins => {
            return Err(twice("tenant", "/tenantId", TENANT_ANNOTATION));
        }
        (Some(tenant), _) => tenant,
        (None, Some(tenant)) if is_tenant(&tenant) => tenant,
        (None, Some(_)) => {
            let text = format!("the annotation {TENANT_ANNOTATION} {TENANT_FORM}");
            return Err(Failure::invalid_config(text));
        }
        (None, None) if own::variable(&context.credentials, OWN_TENANT_ID).is_some() => {
            text(context.credential(OWN_TENANT_ID)?)?
        }
        (None, None) => {
            return Err(Failure::invalid_config(format!(
                "no tenant: set tenantId, or annotate the service account of {ACCOUNT} with {TENANT_ANNOTATION}"
            )));
        }
    };
    let proof = ClientProof::Assertion(text(account)?);
    let place = Place::new(&federation.login.url, &tenant);
    Ok((place, Client { id, proof }))
}

fn twice(what: &str, pointer: &str, annotation: &str) -> Failure {
    Failure::invalid_config(format!(
        "the {what} stands twice, at {pointer} and in the annotation {annotation} of the service account: keep one"
    ))
}

/// What the platform tells whoever runs on it.
fn of_platform(platform: Platform, resource: &str, identity: Option<&str>) -> Exchange {
    let Platform {
        origin,
        path,
        version,
        header: (header, value),
    } = platform;
    let resource = encode(resource);
    let mut url = format!("{origin}{path}?api-version={version}&resource={resource}");
    if let Some(identity) = identity {
        let name = if identity.contains('/') {
            "msi_res_id"
        } else {
            "client_id"
        };
        url.push_str(&format!("&{name}={}", encode(identity)));
    }
    Exchange {
        request: HttpRequest {
            method: "GET".to_owned(),
            url,
            headers: owned(&[(header, &value)]),
            body: None,
            options: Vec::new(),
        },
        secrets: vec![value],
        at: origin,
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    headers.iter().map(pair).collect()
}

fn utf8(credential: &Credential) -> Result<&str, Failure> {
    let what = "is no text";
    std::str::from_utf8(&credential.value).map_err(|_| unusable(credential, what))
}

/// A name or a token, which has no white space at its ends.
fn text(credential: &Credential) -> Result<String, Failure> {
    let text = utf8(credential)?.trim();
    if text.is_empty() {
        return Err(unusable(credential, "is empty"));
    }
    Ok(text.to_owned())
}

fn unusable(credential: &Credential, what: &str) -> Failure {
    Failure::invalid_config(format!("what {} refers to {what}", credential.pointer))
}

/// A token's answer. The node writes numbers as texts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Granted {
    access_token: String,
    expires_in: serde_json::Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

fn session(response: &HttpResponse, exchange: &Exchange) -> Result<Session, Failure> {
    let at = &exchange.at;
    if response.status != 200 {
        return Err(refused(response, exchange));
    }
    let granted: Option<Granted> = serde_json::from_slice(&response.body).ok();
    let granted = granted
        .filter(|g| !g.access_token.is_empty())
        .ok_or_else(|| Failure::unavailable(format!("the answer of {at} holds no token")))?;
    // It goes into a header; what does not fit there is not from a directory.
    if !granted.access_token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::unavailable(format!(
            "the answer of {at} holds a token that is none"
        )));
    }
    let seconds = match &granted.expires_in {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    Ok(Session {
        token: granted.access_token.into_bytes(),
        expires_in_ms: seconds.and_then(|s: u64| s.checked_mul(1000)),
        options: Vec::new(),
    })
}

fn refused(response: &HttpResponse, exchange: &Exchange) -> Failure {
    let at = &exchange.at;
    let said: Refused = serde_json::from_slice(&response.body).unwrap_or_default();
    let number = aadsts(&said.error_description);
    let failure = match response.status {
        429 => Failure::rate_limited(
            format!("{at} is asked for too many tokens"),
            response.retry_after_ms(),
        ),
        300..=399 => Failure::unavailable(format!(
            "{at} leads to another address, which is not followed: check environmentType and customCloudConfig"
        )),
        400 | 401 | 403 if said.error == "temporarily_unavailable" => {
            Failure::unavailable(format!("{at} cannot give a token now"))
        }
        400 | 401 | 403 if !said.error.is_empty() => Failure::unauthenticated(format!(
            "{at} gave no token{}: {}",
            in_brackets(number.unwrap_or(&said.error)),
            hint(number, exchange)
        )),
        404 if exchange.is_of_platform() => Failure::unavailable(format!(
            "{at} knows no identity yet: assign one to the node, or wait until it is there"
        )),
        400..=499 => Failure::not_found(format!(
            "{at} is no place to log in (status {}): check tenantId, environmentType and customCloudConfig",
            response.status
        )),
        status => Failure::unavailable(format!("{at} answered with status {status}")),
    };
    let secrets: Vec<&str> = exchange.secrets.iter().map(String::as_str).collect();
    with_words(failure, response, &said.error_description, &secrets)
}

/// The directory's number for what is wrong.
fn aadsts(description: &str) -> Option<&str> {
    let at = description.find("AADSTS")?;
    let digits = description[at + 6..].bytes().take_while(u8::is_ascii_digit);
    let end = at + 6 + digits.count();
    (end > at + 6).then(|| &description[at..end])
}

/// What to do about the commonest of them.
fn hint(number: Option<&str>, exchange: &Exchange) -> &'static str {
    match number {
        Some("AADSTS7000215") if exchange.secrets.iter().any(|s| s.ends_with('\n')) => {
            "the client secret is wrong; it ends in a line break, which belongs to no secret"
        }
        Some("AADSTS7000215") => {
            "the client secret is wrong; it must be the secret's value, not its id"
        }
        Some("AADSTS7000222") => "the client secret has expired; make a new one",
        Some("AADSTS700016") => {
            "the directory knows no such application; check the client id and the tenant"
        }
        Some("AADSTS90002" | "AADSTS900023" | "AADSTS900021") => "there is no such tenant",
        Some("AADSTS700027" | "AADSTS7000214") => {
            "the application does not know the certificate; upload it there"
        }
        Some("AADSTS700024") => {
            "the assertion is not valid at this time; is the clock of this host right?"
        }
        Some("AADSTS70021" | "AADSTS700211" | "AADSTS700212" | "AADSTS700213") => {
            "no federated credential of the application fits the service account; check issuer, subject and audience there"
        }
        Some("AADSTS500011") => {
            "the directory knows no key vaults of this cloud; check environmentType and customCloudConfig"
        }
        Some("AADSTS7000112") => "the application is disabled",
        _ if exchange.is_of_platform() => {
            "no identity of the node is called so; check identityId and what is assigned to the node"
        }
        _ => "the credentials were refused",
    }
}
