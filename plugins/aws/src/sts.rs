//! The Security Token Service: roles, web identities, and whose a key is. Used by logins only.

use postern_plugin_shared::time::rfc3339;
use postern_plugin_shared::{Address, encode};
use postern_sdk::{Context, Failure, Host, HttpRequest, HttpResponse};

use crate::clock;
use crate::config::{Region, Role, Tags};
use crate::keys::Keys;
use crate::refusal::Refusal;
use crate::sigv4::{Request, Signer, derive};
use crate::xml;

const VERSION: &str = "2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// What sessions of web identities are called: trust policies of existing roles may ask for this name.
pub const WEB_IDENTITY_SESSION: &str = "external-secrets-provider-aws";
/// What sessions of assumed roles are called.
const ROLE_SESSION: &str = "postern-provider-aws";

/// One region's service, and what was learnt of its time.
pub struct Sts<'a> {
    host: &'a dyn Host,
    at: Address,
    region: &'a Region,
    /// By how many seconds its time is ahead of ours.
    pub skew: i64,
}

/// A web identity.
pub struct WebIdentity<'a> {
    /// The role to become.
    pub role: &'a str,
    /// The token that says who we are.
    pub token: &'a str,
    /// The session's name.
    pub session: &'a str,
}

impl<'a> Sts<'a> {
    /// The service at an address.
    #[must_use]
    pub fn new(host: &'a dyn Host, at: Address, region: &'a Region) -> Self {
        let skew = 0;
        Self {
            host,
            at,
            region,
            skew,
        }
    }

    /// Keys of a role, for whom a token speaks. Not signed.
    ///
    /// # Errors
    /// Why there are none.
    pub fn web_identity(&mut self, identity: &WebIdentity<'_>) -> Result<Keys, Failure> {
        let form = form(
            "AssumeRoleWithWebIdentity",
            &[
                ("RoleArn".to_owned(), identity.role),
                ("RoleSessionName".to_owned(), identity.session),
                ("WebIdentityToken".to_owned(), identity.token),
            ],
        );
        let what = format!("the role {} for the service account", identity.role);
        let response = self.host.send(&self.request(&form, Vec::new()))?;
        keys(&response, &what, &[identity.token])
    }

    /// Keys of a role, asked for with others.
    ///
    /// # Errors
    /// Why there are none.
    pub fn assume(&mut self, role: &Role, with: &Keys, context: &Context) -> Result<Keys, Failure> {
        let tags = tags(role, context);
        let mut fields = vec![
            ("RoleArn".to_owned(), role.arn.as_str()),
            ("RoleSessionName".to_owned(), ROLE_SESSION),
        ];
        fields.extend(
            role.external_id
                .as_deref()
                .map(|id| ("ExternalId".to_owned(), id)),
        );
        for (at, (key, value)) in tags.iter().enumerate() {
            fields.push((format!("Tags.member.{}.Key", at + 1), key));
            fields.push((format!("Tags.member.{}.Value", at + 1), value));
        }
        // Keys of tags that are not there would be refused.
        let transitive = role.transitive.iter().filter(|_| !tags.is_empty());
        for (at, key) in transitive.enumerate() {
            fields.push((format!("TransitiveTagKeys.member.{}", at + 1), key));
        }
        let what = format!("the role {}", role.arn);
        let response = self.signed(&form("AssumeRole", &fields), with)?;
        keys(&response, &what, &with.secrets())
    }

    /// Whether these keys are anybody's: a question that needs no permission.
    ///
    /// # Errors
    /// `unauthenticated` where they are not, others where that could not be found out.
    pub fn whose(&mut self, keys: &Keys) -> Result<(), Failure> {
        let response = self.signed(&form("GetCallerIdentity", &[]), keys)?;
        if response.status == 200 {
            return Ok(());
        }
        Err(Refusal::of(&response).failure("the access key", &keys.secrets()))
    }

    /// Sends a signed form; one that was refused for its time is sent once more, by AWS's time.
    fn signed(&mut self, form: &str, keys: &Keys) -> Result<HttpResponse, Failure> {
        let response = self.host.send(&self.sign(form, keys))?;
        if response.status == 200 {
            return Ok(response);
        }
        let Some(skew) = Refusal::of(&response).skew(clock::now(self.host)) else {
            return Ok(response);
        };
        self.skew = skew;
        self.host.send(&self.sign(form, keys))
    }

    fn sign(&self, form: &str, keys: &Keys) -> HttpRequest {
        let now = clock::shifted(clock::now(self.host), self.skew);
        let region = self.region.as_str();
        let key = derive(&keys.secret, &clock::date(now), region, "sts");
        let signer = Signer {
            id: &keys.id,
            session_token: keys.token.as_deref(),
            key: &key,
            region,
            service: "sts",
        };
        let headers = signer.sign(&Request {
            method: "POST",
            host: host_of(&self.at),
            path: "/",
            headers: &[("content-type", FORM)],
            body: form.as_bytes(),
            stamp: &clock::stamp(now),
        });
        self.request(form, headers)
    }

    fn request(&self, form: &str, mut headers: Vec<(String, String)>) -> HttpRequest {
        headers.push(("content-type".to_owned(), FORM.to_owned()));
        HttpRequest {
            method: "POST".to_owned(),
            url: format!("{}/", self.at.origin),
            headers,
            body: Some(form.as_bytes().to_vec()),
            options: Vec::new(),
        }
    }
}

/// Host and port of an address, as the header `host` has them.
#[must_use]
pub fn host_of(address: &Address) -> &str {
    address
        .origin
        .split_once("://")
        .map_or("", |(_, host)| host)
}

fn form(action: &str, fields: &[(String, &str)]) -> String {
    let mut text = format!("Action={action}&Version={VERSION}");
    for (name, value) in fields {
        text.push_str(&format!("&{name}={}", encode(value)));
    }
    text
}

/// Tags of a session. Those of who asks are under the names that policies written for the External Secrets Operator use.
fn tags(role: &Role, context: &Context) -> Vec<(String, String)> {
    let (mut tags, of_asker) = match &role.tags {
        Tags::Fixed(tags) => (tags.clone(), false),
        Tags::OfAsker(tags) => (tags.clone(), true),
    };
    if of_asker {
        let told = |name: &str| context.option(name).unwrap_or_default().to_owned();
        let namespace = context.namespace.clone().unwrap_or_default();
        tags.push(("esoNamespace".to_owned(), namespace));
        tags.push(("esoStoreKind".to_owned(), told("store-kind")));
        tags.push(("esoStoreName".to_owned(), told("store-name")));
    }
    tags
}

fn keys(response: &HttpResponse, what: &str, secrets: &[&str]) -> Result<Keys, Failure> {
    if response.status != 200 {
        let mut failure = Refusal::of(response).failure(what, secrets);
        if failure.code == "denied" {
            failure
                .message
                .push_str("; see the role's trust policy too");
        }
        return Err(failure);
    }
    let body = String::from_utf8_lossy(&response.body);
    let of = |name: &str| xml::text(&body, name).filter(|text| !text.is_empty());
    match (of("AccessKeyId"), of("SecretAccessKey"), of("SessionToken")) {
        (Some(id), Some(secret), Some(token)) => Ok(Keys {
            id,
            secret,
            token: Some(token),
            expires: of("Expiration").as_deref().and_then(rfc3339),
        }),
        _ => Err(Failure::unavailable(format!(
            "the answer to {what} holds no credentials, so it is not that of STS"
        ))),
    }
}
