//! Headers between guest and wire: the host's own are not the guest's to set, and both ways are bounded.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits;

/// Headers that steer the connection or the framing.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The guest's headers for the wire. `authority` is what the host will send as `host`.
pub fn to_wire(
    headers: &[(String, String)],
    authority: &str,
    user_agent: &str,
) -> Result<HeaderMap, String> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if headers.len() > limits::HEADERS || size > limits::HEADER_BYTES {
        return Err(format!(
            "the request has more than {} headers or {} KiB of them",
            limits::HEADERS,
            limits::HEADER_BYTES >> 10
        ));
    }
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| "a header's name is not valid".to_owned())?;
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header {name} has a value that is not valid"))?;
        if HOP_BY_HOP.contains(&name.as_str()) {
            return Err(format!("the header {name} is the host's to set"));
        }
        match name.as_str() {
            // Signed by some protocols, so it may be named, but only as what will be sent.
            "host" if value.as_bytes() == authority.as_bytes() => continue,
            "host" => return Err("the header host must be the URL's own host".to_owned()),
            "content-length" => continue,
            _ => {}
        }
        value.set_sensitive(true);
        map.append(name, value);
    }
    if !map.contains_key(http::header::USER_AGENT) {
        map.insert(
            http::header::USER_AGENT,
            HeaderValue::from_str(user_agent).map_err(|e| e.to_string())?,
        );
    }
    Ok(map)
}

/// The response's headers for the guest; a value that is no text is left out.
pub fn to_guest(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::to_wire;

    fn one(name: &str, value: &str) -> Result<http::HeaderMap, String> {
        to_wire(
            &[(name.to_owned(), value.to_owned())],
            "vault:8200",
            "postern/0",
        )
    }

    #[test]
    fn the_host_header_is_the_urls_own() {
        assert!(one("Host", "vault:8200").unwrap().get("host").is_none());
        assert!(one("Host", "evil").unwrap_err().contains("host"));
    }

    #[test]
    fn headers_cannot_smuggle_a_second_request() {
        assert!(one("x", "a\r\nGET / HTTP/1.1").is_err());
        assert!(one("x\r\ny", "a").is_err());
        assert!(one("Transfer-Encoding", "chunked").is_err());
    }
}
