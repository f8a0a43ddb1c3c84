//! Addresses that stand in a config or come from the vault: only scheme, host and port of one are ever used.

/// Scheme, host and port, with the scheme's own port left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As a URL without a slash at its end.
    pub url: String,
    /// The host alone, in lower case.
    pub host: String,
}

/// The origin of an absolute URL, and what stands behind it.
///
/// # Errors
/// What is wrong, to be read after the name of the field.
pub fn split(text: &str) -> Result<(Origin, &str), &'static str> {
    let (scheme, rest) = text
        .trim()
        .split_once("://")
        .ok_or("must be a URL that begins with https://")?;
    let scheme = scheme.to_ascii_lowercase();
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(at);
    if authority.contains('@') {
        return Err("must not contain a user name or a password");
    }
    let authority = authority.to_ascii_lowercase();
    let own_port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    let host = host(authority);
    let plain = |c: char| !c.is_whitespace() && c != '\\' && !c.is_control();
    if host.is_empty() || !authority.chars().all(plain) {
        return Err("must be a URL of scheme, host and port");
    }
    // A token in the clear is a token for everybody on the way; a server of a test lies on the loopback.
    if scheme != "https" && !(scheme == "http" && is_loopback(host)) {
        return Err("must begin with https://");
    }
    let url = format!("{scheme}://{authority}");
    let host = host.to_owned();
    Ok((Origin { url, host }, behind))
}

/// The origin of a URL that has nothing behind it but a slash.
///
/// # Errors
/// As for [`split`].
pub fn origin(text: &str) -> Result<Origin, &'static str> {
    match split(text)? {
        (origin, "" | "/") => Ok(origin),
        _ => Err("must have no path, no query and no fragment"),
    }
}

/// Whether a host is another one, or a name below it.
#[must_use]
pub fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn host(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_spelling() {
        let url = |text: &str| origin(text).map(|o| o.url);
        let vault = Ok("https://v.vault.azure.net".to_owned());
        assert_eq!(url("https://v.vault.azure.net"), vault);
        assert_eq!(url(" HTTPS://V.Vault.Azure.Net:443/ "), vault);
        assert_eq!(
            url("https://[::1]:8443"),
            Ok("https://[::1]:8443".to_owned())
        );
        assert_eq!(
            url("http://127.0.0.1:80"),
            Ok("http://127.0.0.1".to_owned())
        );
        assert!(url("https://v.vault.azure.net/secrets").is_err());
    }

    #[test]
    fn a_token_is_never_sent_in_the_clear() {
        assert!(origin("http://v.vault.azure.net").is_err());
        assert!(origin("http://127.0.0.1.example.com").is_err());
        assert!(origin("v.vault.azure.net").is_err());
        assert!(origin("https://u:p@v.vault.azure.net").is_err());
        assert!(origin("https://").is_err());
        assert!(origin("https://:443").is_err());
        assert!(origin("https://a\\b").is_err());
    }

    #[test]
    fn below_means_a_label_more() {
        assert!(is_below("v.vault.azure.net", "vault.azure.net"));
        assert!(is_below("vault.azure.net", "vault.azure.net"));
        assert!(!is_below("evilvault.azure.net", "vault.azure.net"));
        assert!(!is_below("vault.azure.net.evil.org", "vault.azure.net"));
    }
}
