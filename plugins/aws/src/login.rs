//! From credentials to a session: the first keys, the roles in their order, and the derived key of the day.

use postern_sdk::{Context, Credential, Failure, Host, Session as Opened};

use crate::clock::{self, GRACE};
use crate::config::{self, Config, Source};
use crate::environment::{self as env, Environment};
use crate::examine;
use crate::keys::Keys;
use crate::metadata::Place;
use crate::session::Session;
use crate::sigv4::{derive, hex};
use crate::sts::{Sts, WEB_IDENTITY_SESSION, WebIdentity};

/// The annotation of a service account that names its role.
const ROLE_ANNOTATION: &str = "annotation:eks.amazonaws.com/role-arn";

/// Opens a session.
///
/// # Errors
/// Why there is none.
pub fn open(host: &dyn Host, config: &Config, context: &Context) -> Result<Opened, Failure> {
    let environment = Environment::of(context);
    let mut sts = Sts::new(host, examine::sts(config, environment), &config.region);
    let mut keys = first(host, config, context, &mut sts)?;
    for role in &config.roles {
        keys = sts.assume(role, &keys, context)?;
    }
    session(host, config, environment, (&keys, sts.skew))
}

/// Whether the store can be used. Keys that STS gave out, or the platform, were proved by that; others are asked for at STS.
/// Where it cannot be asked nothing is known against them.
///
/// # Errors
/// Why it cannot.
pub fn probe(host: &dyn Host, config: &Config, context: &Context) -> Result<(), Failure> {
    let unproved = matches!(config.source, Source::Keys { .. }) && config.roles.is_empty();
    if context.session.is_none() {
        open(host, config, context)?;
    }
    if !unproved {
        return Ok(());
    }
    let environment = Environment::of(context);
    let mut sts = Sts::new(host, examine::sts(config, environment), &config.region);
    let keys = first(host, config, context, &mut sts)?;
    match sts.whose(&keys) {
        Err(failure) if failure.code == "unauthenticated" => Err(failure),
        _ => Ok(()),
    }
}

fn first(
    host: &dyn Host,
    config: &Config,
    context: &Context,
    sts: &mut Sts<'_>,
) -> Result<Keys, Failure> {
    match config.source {
        Source::Keys { with_token } => {
            let of = |pointer| context.credential(pointer).and_then(text);
            Ok(Keys {
                id: of(config::KEY_ID)?,
                secret: of(config::SECRET_KEY)?,
                token: with_token.then(|| of(config::SESSION_TOKEN)).transpose()?,
                expires: None,
            })
        }
        Source::Account => {
            let account = context.credential(config::ACCOUNT)?;
            let role = account
                .attributes
                .iter()
                .find(|(n, _)| n == ROLE_ANNOTATION);
            let (_, role) = role.filter(|(_, arn)| !arn.is_empty()).ok_or_else(|| {
                Failure::invalid_config(
                    "the service account has no annotation eks.amazonaws.com/role-arn, so no role goes with it",
                )
            })?;
            sts.web_identity(&WebIdentity {
                role,
                token: &text(account)?,
                session: WEB_IDENTITY_SESSION,
            })
        }
        Source::Ambient => ambient(host, Environment::of(context), sts),
    }
}

/// Who Postern is by itself: the first of the places where AWS's own tools look, in their order.
fn ambient(
    host: &dyn Host,
    environment: Environment<'_>,
    sts: &mut Sts<'_>,
) -> Result<Keys, Failure> {
    if environment.has(env::KEY_ID) {
        return Ok(Keys {
            id: environment.need(env::KEY_ID)?.to_owned(),
            secret: environment.need(env::SECRET_KEY)?.to_owned(),
            token: environment.get(env::SESSION_TOKEN).map(str::to_owned),
            expires: None,
        });
    }
    if environment.has(env::WEB_IDENTITY) {
        return sts.web_identity(&WebIdentity {
            role: environment.need(env::ROLE)?,
            token: environment.need(env::WEB_IDENTITY)?,
            session: environment
                .get(env::ROLE_SESSION)
                .unwrap_or(WEB_IDENTITY_SESSION),
        });
    }
    let place = Place::of(environment).ok_or_else(|| {
        Failure::invalid_config(
            "Postern's environment names no identity: give its pod a role, or the store a credential",
        )
    })?;
    place.keys(host, environment)
}

fn session(
    host: &dyn Host,
    config: &Config,
    environment: Environment<'_>,
    (keys, skew): (&Keys, i64),
) -> Result<Opened, Failure> {
    let now = clock::shifted(clock::now(host), skew);
    let service = config.service.id();
    let key = derive(
        &keys.secret,
        &clock::date(now),
        config.region.as_str(),
        service,
    );
    let session = Session {
        id: keys.id.clone(),
        token: keys.token.clone(),
        key: hex(&key),
        day: now,
        skew,
        base: examine::service(config, environment).origin,
    };
    let end = clock::end_of_day(now) + GRACE;
    let end = keys.expires.map_or(end, |expires| expires.min(end));
    Ok(Opened {
        token: session.to_bytes()?,
        expires_in_ms: Some(end.saturating_sub(now).saturating_mul(1000)),
        options: Vec::new(),
    })
}

/// A credential as a text. A key has no white space, but a file that it came from may end in a line break.
fn text(credential: &Credential) -> Result<String, Failure> {
    let text = std::str::from_utf8(&credential.value)
        .map(str::trim)
        .unwrap_or_default();
    if text.is_empty() {
        let pointer = &credential.pointer;
        return Err(Failure::invalid_config(format!(
            "the credential at {pointer} is empty, or no text"
        )));
    }
    Ok(text.to_owned())
}
