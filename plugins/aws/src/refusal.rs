//! What AWS says when it refuses, and what that means here. Pure.
//!
//! AWS names each refusal, so a session that is dead is told from a policy that says no without asking again. An answer without
//! such a name is not AWS's: a proxy's, or a wall's.

use postern_plugin_shared::time::http_date;
use postern_sdk::{Failure, HttpResponse};
use serde_json::Value;

use crate::xml;

/// How long AWS's own words may be in a log.
const DETAIL_LIMIT: usize = 300;

/// How long a name that AWS uses may be: longer ones are not shown.
const NAME_LIMIT: usize = 64;

/// A refusal as AWS gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name, such as `AccessDeniedException`; empty where the answer is not AWS's.
    pub name: String,
    /// AWS's words. They may quote what was asked.
    pub words: String,
    status: u16,
    retry_after_ms: Option<u64>,
    request_id: Option<String>,
    /// AWS's time, in seconds since 1970.
    pub date: Option<u64>,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Slow,
    Session,
    Clock,
    Policy,
    Missing,
    Key,
    Outage,
    Request,
    Foreign,
}

impl Refusal {
    /// Reads the answer of a status that is no success.
    #[must_use]
    pub fn of(response: &HttpResponse) -> Self {
        let (name, words) = of_json(response)
            .or_else(|| of_xml(response))
            .unwrap_or_default();
        let plain = name.len() <= NAME_LIMIT
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
        let id = response
            .header("x-amzn-requestid")
            .filter(|id| id.len() <= NAME_LIMIT);
        Self {
            name: if plain { name } else { String::new() },
            words,
            status: response.status,
            retry_after_ms: response.retry_after_ms(),
            request_id: id.map(str::to_owned),
            date: response.header("date").and_then(http_date),
        }
    }

    /// One of those that `BatchGetSecretValue` lists beside the values.
    #[must_use]
    pub fn listed(name: &str, words: &str) -> Self {
        Self {
            name: name.to_owned(),
            words: words.to_owned(),
            status: 400,
            retry_after_ms: None,
            request_id: None,
            date: None,
        }
    }

    /// The object does not exist, by AWS's word; one that waits for its deletion is gone for its readers.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        let doomed = matches!(
            self.name.as_str(),
            "InvalidRequestException" | "InvalidParameterException"
        ) && self.words.contains("marked for deletion");
        doomed
            || matches!(
                self.name.as_str(),
                "ResourceNotFoundException" | "ParameterNotFound"
            )
    }

    /// A policy says no, to this operation or this object.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.kind() == Kind::Policy
    }

    /// Whether one object alone may be to blame for the refusal of many.
    #[must_use]
    pub fn may_be_of_one(&self) -> bool {
        matches!(
            self.kind(),
            Kind::Policy | Kind::Missing | Kind::Key | Kind::Request
        )
    }

    /// By how many seconds our time differs, where that is the reason.
    #[must_use]
    pub fn skew(&self, ours: u64) -> Option<i64> {
        let by_words = self.words.contains("Signature expired")
            || self.words.contains("Signature not yet current");
        let by_clock = self.kind() == Kind::Clock || (self.kind() == Kind::Session && by_words);
        let theirs = self.date.filter(|_| by_clock)?;
        i64::try_from(theirs)
            .ok()?
            .checked_sub(i64::try_from(ours).ok()?)
    }

    /// The failure of what was asked for. `secrets` is what was sent and must not come back.
    #[must_use]
    pub fn failure(&self, what: &str, secrets: &[&str]) -> Failure {
        let name = &self.name;
        let failure = match self.kind() {
            Kind::Slow => Failure::rate_limited(
                format!("AWS asks to slow down ({name}) at {what}"),
                self.retry_after_ms,
            ),
            Kind::Session => Failure::unauthenticated(format!(
                "AWS does not accept the credential ({name}) for {what}"
            )),
            Kind::Clock => Failure::unauthenticated(format!(
                "AWS does not accept the time of the signature ({name}) for {what}: set the clock right"
            )),
            Kind::Policy => Failure::denied(self.denial(what)),
            Kind::Missing => Failure::not_found(format!("AWS does not find {what} ({name})")),
            Kind::Key => Failure::denied(format!(
                "AWS cannot decrypt {what} ({name}): allow kms:Decrypt with its key, and see that the key is enabled"
            )),
            Kind::Outage => Failure::unavailable(format!(
                "AWS cannot answer for {what} now ({name}, status {})",
                self.status
            )),
            Kind::Request => {
                Failure::invalid_request(format!("AWS refused the request for {what} ({name})"))
            }
            Kind::Foreign => Failure::unavailable(format!(
                "the answer to {what} with status {} is not AWS's: is there a proxy, or another endpoint?",
                self.status
            )),
        };
        self.detailed(failure, secrets)
    }

    fn kind(&self) -> Kind {
        match self.name.as_str() {
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottledException"
            | "RequestThrottled"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "BandwidthLimitExceeded"
            | "ProvisionedThroughputExceededException" => Kind::Slow,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Kind::Clock,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidAccessKeyId"
            | "AuthFailure"
            | "InvalidIdentityToken"
            | "IDPRejectedClaim"
            | "OptInRequired"
            | "NotAuthorized"
            | "TokenRefreshRequired" => Kind::Session,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "KMSAccessDeniedException" => Kind::Policy,
            "ResourceNotFoundException"
            | "ParameterNotFound"
            | "ParameterVersionNotFound"
            | "ParameterVersionLabelLimitExceeded"
            | "InvalidResourceId" => Kind::Missing,
            "DecryptionFailure" | "InvalidKeyId" | "KMSInvalidStateException" => Kind::Key,
            "" if self.status == 429 => Kind::Slow,
            "" if self.status >= 500 => Kind::Outage,
            "" => Kind::Foreign,
            _ if self.status == 429 => Kind::Slow,
            "IDPCommunicationError" => Kind::Outage,
            _ if self.status >= 500 => Kind::Outage,
            _ => Kind::Request,
        }
    }

    /// The permission that is missing, in AWS's own words; only names of the kinds that it has are taken out of them.
    fn denial(&self, what: &str) -> String {
        let after = |mark: &str| {
            let (_, rest) = self.words.split_once(mark)?;
            let word = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
            is_name(word).then_some(word)
        };
        let who = after("User: ")
            .map(|who| format!(" to {who}"))
            .unwrap_or_default();
        match (after("to perform: "), after("on resource: ")) {
            (Some(action), Some(resource)) => {
                let reason = self.reason();
                format!("AWS denies {what}{who}: allow {action} on {resource}{reason}")
            }
            (Some(action), None) => {
                format!("AWS denies {what}{who}: allow {action}{}", self.reason())
            }
            (None, _) if self.words.contains("KMS") => {
                format!("AWS denies {what}: allow kms:Decrypt with the key that encrypts it")
            }
            (None, _) => format!("AWS denies {what} ({})", self.name),
        }
    }

    /// Which kind of policy it is, as AWS says it.
    fn reason(&self) -> &'static str {
        const REASONS: [(&str, &str); 7] = [
            (
                "explicit deny in an identity-based policy",
                " (an identity-based policy denies it explicitly)",
            ),
            (
                "explicit deny in a resource-based policy",
                " (a resource-based policy denies it explicitly)",
            ),
            (
                "explicit deny in a service control policy",
                " (a service control policy denies it explicitly)",
            ),
            (
                "no identity-based policy allows",
                " (no identity-based policy allows it)",
            ),
            (
                "no resource-based policy allows",
                " (no resource-based policy allows it)",
            ),
            ("no session policy allows", " (no session policy allows it)"),
            (
                "no permissions boundary allows",
                " (no permissions boundary allows it)",
            ),
        ];
        let found = REASONS.iter().find(|(words, _)| self.words.contains(words));
        found.map_or("", |(_, reason)| reason)
    }

    fn detailed(&self, failure: Failure, secrets: &[&str]) -> Failure {
        let mut text = self.words.clone();
        for secret in secrets.iter().filter(|s| !s.is_empty()) {
            text = text.replace(secret, "<redacted>");
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let text: String = words.join(" ").chars().take(DETAIL_LIMIT).collect();
        let mut failure = failure.with_detail("status", self.status.to_string());
        if let Some(id) = &self.request_id {
            failure = failure.with_detail("request-id", id);
        }
        if text.is_empty() {
            failure
        } else {
            failure.with_detail("server-said", text)
        }
    }
}

/// What actions, resources and principals are made of.
fn is_name(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":/_+=.@*-".contains(&b);
    !word.is_empty() && word.len() <= 256 && word.bytes().all(plain)
}

fn of_json(response: &HttpResponse) -> Option<(String, String)> {
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let name = response
        .header("x-amzn-errortype")
        .or_else(|| text("__type"))
        .or_else(|| text("code"))?;
    let words = text("message")
        .or_else(|| text("Message"))
        .unwrap_or_default();
    // `com.amazonaws.secretsmanager#ResourceNotFoundException`, `ResourceNotFoundException:http://…`
    let name = name.rsplit('#').next()?.split(':').next()?.trim();
    Some((name.to_owned(), words.to_owned()))
}

fn of_xml(response: &HttpResponse) -> Option<(String, String)> {
    let body = std::str::from_utf8(&response.body).ok()?;
    let name = xml::text(body, "Code")?;
    Some((name, xml::text(body, "Message").unwrap_or_default()))
}
