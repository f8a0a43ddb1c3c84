//! What a store may say, checked beyond what the schema can. Nothing here sends.

use postern_sdk::{Problem, parse_config};
use serde::Deserialize;

/// Where the token's reference stands.
pub const TOKEN: &str = "/auth/secretRef/dopplerToken";
/// Where Doppler is, unless the store says otherwise.
pub const BASE_URL: &str = "https://api.doppler.com";

/// A checked config.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    pub project: Option<String>,
    pub config: Option<String>,
    pub name_transformer: Option<String>,
    format: Option<String>,
    #[serde(default = "base_url")]
    pub base_url: String,
}

fn base_url() -> String {
    BASE_URL.to_owned()
}

impl Config {
    /// Reads a config that is valid against the schema; the problems say what is wrong with the rest.
    pub fn parse(config: &str) -> Result<Self, Vec<Problem>> {
        let config: Self = parse_config(config)?;
        let mut problems = Vec::new();
        if config.format.as_deref().is_some_and(|f| f != "json") {
            let text = "only the format json is supported: remove the field";
            problems.push(Problem::new("/format", text));
        }
        if !is_origin(&config.base_url) {
            let text =
                format!("must be http(s)://host[:port] and nothing more, such as {BASE_URL}");
            problems.push(Problem::new("/baseUrl", text));
        }
        match problems.is_empty() {
            true => Ok(config),
            false => Err(problems),
        }
    }

    /// For messages.
    pub fn place(&self) -> String {
        match (&self.project, &self.config) {
            (Some(project), Some(config)) => format!("config {project}/{config}"),
            (Some(project), None) => format!("project {project}"),
            (None, Some(config)) => format!("config {config}"),
            (None, None) => "the token's config".to_owned(),
        }
    }
}

fn is_origin(url: &str) -> bool {
    let Some(("http" | "https", rest)) = url.split_once("://") else {
        return false;
    };
    // A colon outside of the brackets of an IPv6 address parts host and port.
    let (host, port) = match rest.rfind(']') {
        Some(end) => rest.split_at(end + 1),
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    let port = port.strip_prefix(':').map_or(port.is_empty(), |port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    host_fits && port
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn takes_an_origin_and_nothing_more() {
        for good in [
            "https://api.doppler.com",
            "http://127.0.0.1:8080",
            "https://[::1]:8443",
            "https://[::1]",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "api.doppler.com",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://u:p@a",
            "https://a:",
            "https://a:70000",
            "https://a:+80",
            "https://[::1]x",
            "https://a b",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
