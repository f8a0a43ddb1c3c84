//! Credentials to a token. The session is the token's text, and behind a line break how far the node that gave it had come,
//! where reads are to be answered by nodes that know the token; a static token is its own session, which is neither renewed
//! nor revoked. Everything here happens in the namespace of the login.

use postern_sdk::{Context, Credential, Failure, Host, HttpRequest, HttpResponse, Session};
use serde_json::{Value, json};

use crate::config::{Auth, Config};
use crate::google;
use crate::wire::{Call, body, encode, encode_segment, request, status_failure};

/// How far a node has come, in its answers; in a request, how far the node must have come that answers.
const INDEX: &str = "x-vault-index";

/// The token of a session; what else it says becomes a header of every request.
///
/// # Errors
/// `internal` for what is no session of ours.
pub fn resume<'a>(session: &'a [u8], config: &mut Config) -> Result<&'a str, Failure> {
    let text =
        std::str::from_utf8(session).map_err(|_| Failure::internal("the session is no text"))?;
    Ok(match text.split_once('\n') {
        None => text,
        Some((token, index)) => {
            config.headers.push((INDEX.to_owned(), index.to_owned()));
            token
        }
    })
}

/// Opens a session.
///
/// # Errors
/// `unauthenticated` where the server refuses the credentials, others as for any call.
pub fn open(host: &dyn Host, config: &Config, context: &Context) -> Result<Session, Failure> {
    let Some(auth) = &config.auth else {
        return Ok(Session {
            token: Vec::new(),
            expires_in_ms: None,
            options: Vec::new(),
        });
    };
    if *auth == Auth::Token {
        let token = text(context.credential("/auth/tokenSecretRef")?)?;
        return Ok(Session {
            token: token.into_bytes(),
            expires_in_ms: None,
            options: Vec::new(),
        });
    }
    let (path, fields) = login(host, auth, context)?;
    let secrets: Vec<String> = fields
        .values()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    let call = Call {
        namespace: config.auth_namespace.as_deref(),
        body: Some(Value::Object(fields)),
        token: "",
    };
    let response = host.send(&request(config, "POST", &format!("auth/{path}"), &call))?;
    session(
        config,
        &response,
        "the login",
        &secrets.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

/// Prolongs a session; a static token is as long as it is.
///
/// # Errors
/// `unauthenticated` where only a new login helps.
pub fn renew(host: &dyn Host, config: &Config, token: &str) -> Result<Session, Failure> {
    if token.is_empty() || config.auth == Some(Auth::Token) {
        return Ok(Session {
            token: token.as_bytes().to_vec(),
            expires_in_ms: None,
            options: Vec::new(),
        });
    }
    let response = host.send(&own(config, "POST", "renew-self", token, Some(json!({}))))?;
    session(config, &response, "the renewal", &[token])
}

/// Revokes a session; a static token is not ours to revoke.
///
/// # Errors
/// Why the token still lives; a token that is dead already is no error.
pub fn close(host: &dyn Host, config: &Config, token: &str) -> Result<(), Failure> {
    if token.is_empty() || matches!(config.auth, None | Some(Auth::Token)) {
        return Ok(());
    }
    let response = host.send(&own(config, "POST", "revoke-self", token, Some(json!({}))))?;
    match response.status {
        200..=299 | 403 => Ok(()),
        _ => Err(status_failure(&response, "the revocation", &[token])),
    }
}

/// Whether the server still knows a token.
///
/// # Errors
/// `unauthenticated` where it does not, others where it cannot say.
pub fn lookup(host: &dyn Host, config: &Config, token: &str) -> Result<(), Failure> {
    let response = host.send(&own(config, "GET", "lookup-self", token, None))?;
    match response.status {
        200..=299 => Ok(()),
        403 => Err(Failure::unauthenticated(
            "the server does not know the token: it has expired or was revoked",
        )),
        _ => Err(status_failure(
            &response,
            "the look-up of the token",
            &[token],
        )),
    }
}

/// A request about the token itself, in the namespace it was made in.
fn own(config: &Config, method: &str, verb: &str, token: &str, body: Option<Value>) -> HttpRequest {
    let call = Call {
        token,
        namespace: config.auth_namespace.as_deref(),
        body,
    };
    request(config, method, &format!("auth/token/{verb}"), &call)
}

/// Path below `auth/` and body of a login.
fn login(
    host: &dyn Host,
    auth: &Auth,
    context: &Context,
) -> Result<(String, serde_json::Map<String, Value>), Failure> {
    let mut fields = serde_json::Map::new();
    let mut add = |name: &str, value: String| fields.insert(name.to_owned(), Value::String(value));
    let path = match auth {
        Auth::Token => return Err(Failure::internal("a static token needs no login")),
        Auth::AppRole { path, role_id } => {
            let role_id = match role_id {
                Some(id) => id.clone(),
                None => text(context.credential("/auth/appRole/roleRef")?)?,
            };
            add("role_id", role_id);
            add(
                "secret_id",
                text(context.credential("/auth/appRole/secretRef")?)?,
            );
            format!("{}/login", encode(path))
        }
        Auth::Jwt { path, role, source } => {
            if let Some(role) = role {
                add("role", role.clone());
            }
            add("jwt", text(context.credential(source.pointer)?)?);
            format!("{}/login", encode(path))
        }
        Auth::Password {
            path,
            username,
            pointer,
        } => {
            add("password", text(context.credential(pointer)?)?);
            format!("{}/login/{}", encode(path), encode_segment(username))
        }
        Auth::Certificate { path, role } => {
            if let Some(role) = role {
                add("name", role.clone());
            }
            format!("{}/login", encode(path))
        }
        Auth::Google { path, role, signer } => {
            add("role", role.clone());
            add("jwt", google::token(host, context, role, signer)?);
            format!("{}/login", encode(path))
        }
    };
    Ok((path, fields))
}

fn text(credential: &Credential) -> Result<String, Failure> {
    String::from_utf8(credential.value.clone()).map_err(|_| {
        Failure::invalid_config(format!(
            "the credential at {} is no text",
            credential.pointer
        ))
    })
}

/// The session in the answer to a login or a renewal.
fn session(
    config: &Config,
    response: &HttpResponse,
    what: &str,
    sent: &[&str],
) -> Result<Session, Failure> {
    match response.status {
        200..=299 => {}
        400 | 401 | 403 => {
            let mut failure = status_failure(response, what, sent);
            failure.code = "unauthenticated".to_owned();
            return Err(failure);
        }
        404 => {
            let mut failure = status_failure(response, what, sent);
            failure.code = "not-found".to_owned();
            failure.message =
                format!("cannot find the path of {what}: is the authentication method mounted?");
            return Err(failure);
        }
        _ => return Err(status_failure(response, what, sent)),
    }
    let body = body(response, what)?;
    let auth = &body["auth"];
    let token = auth["client_token"].as_str().filter(|t| !t.is_empty());
    let token = token
        .ok_or_else(|| Failure::unavailable(format!("the answer to {what} holds no token")))?;
    let seconds = auth["lease_duration"].as_u64().filter(|s| *s > 0);
    let renewable = auth["renewable"].as_bool().unwrap_or_default();
    let seen = response.header(INDEX).filter(|_| config.read_your_writes);
    let token = match seen {
        Some(index) => format!("{token}\n{index}"),
        None => token.to_owned(),
    };
    Ok(Session {
        token: token.into_bytes(),
        expires_in_ms: seconds.and_then(|s| s.checked_mul(1000)),
        options: vec![("renewable".to_owned(), renewable.to_string())],
    })
}
