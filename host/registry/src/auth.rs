//! Who we are to a registry: one entry of a Docker config file, as `kubernetes.io/dockerconfigjson` Secrets hold it.

use base64::Engine as _;
use oci_client::secrets::RegistryAuth;
use postern_core::failure::{Code, Failure};
use postern_core::secret::SecretValue;
use serde_json::Value;

use crate::failed;

/// The entry for this registry; anonymous where there is none. Errors name the entry, never what is in it.
pub(crate) fn of(config: &SecretValue, registry: &str) -> Result<RegistryAuth, Failure> {
    let wrong = |what: &str| {
        failed(
            Code::InvalidConfig,
            format!("the pull secret for {registry} {what}"),
        )
    };
    let config: Value = serde_json::from_slice(config.expose())
        .map_err(|_| wrong("is not the JSON of a Docker config file"))?;
    let Some(auths) = config["auths"].as_object() else {
        return Err(wrong("has no \"auths\""));
    };
    let entry = auths.iter().find(|(name, _)| host(name) == registry);
    let Some((_, entry)) = entry else {
        return Ok(RegistryAuth::Anonymous);
    };
    let text = |field: &str| {
        entry[field]
            .as_str()
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
    };
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(RegistryAuth::Basic(user, password));
    }
    if text("identitytoken").is_some() {
        return Err(wrong(
            "has an identity token, which is not supported; give a user name and a password or access token",
        ));
    }
    let decoded = text("auth")
        .and_then(|auth| base64::engine::general_purpose::STANDARD.decode(auth).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = pair
        .ok_or_else(|| wrong("has neither user name and password nor a base64 \"auth\" of both"))?;
    Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

/// Names of entries may be URLs, and Docker writes the Hub's old address for it.
fn host(name: &str) -> &str {
    let name = name
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    match name.split('/').next().unwrap_or(name) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(config: &str) -> Result<RegistryAuth, Failure> {
        of(&SecretValue::new(config.as_bytes().to_vec()), "r.corp:5000")
    }

    #[test]
    fn reads_user_and_password_in_both_forms() {
        let basic = RegistryAuth::Basic("u".to_owned(), "p:q".to_owned());
        let plain = r#"{"auths":{"r.corp:5000":{"username":"u","password":"p:q"}}}"#;
        assert_eq!(auth(plain).unwrap(), basic);
        let packed = r#"{"auths":{"https://r.corp:5000/v2/":{"auth":"dTpwOnE="}}}"#;
        assert_eq!(auth(packed).unwrap(), basic);
        let other = r#"{"auths":{"r.corp":{"auth":"dTpwOnE="}}}"#;
        assert_eq!(auth(other).unwrap(), RegistryAuth::Anonymous);
    }

    #[test]
    fn the_hub_is_found_by_the_name_that_docker_writes() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}"#;
        let auth = of(&SecretValue::from(config), "docker.io").unwrap();
        assert_eq!(auth, RegistryAuth::Basic("u".to_owned(), "p".to_owned()));
    }

    #[test]
    fn an_unreadable_config_is_told_without_its_content() {
        for config in [
            "hunter2",
            r#"{"auths":{"r.corp:5000":{"auth":"hunter2"}}}"#,
            r#"{"auths":{"r.corp:5000":{"identitytoken":"hunter2"}}}"#,
        ] {
            let failure = auth(config).unwrap_err();
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }
}
