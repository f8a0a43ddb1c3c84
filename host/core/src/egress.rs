//! Where a plugin may connect to: pure decisions, enforced by the broker in the runtime.
//!
//! Two questions, asked in this order: is the origin one that the store's config names and the plugin asks for
//! ([`EgressPolicy::origin`]), and, after the name was resolved, may we talk to this address
//! ([`EgressPolicy::address`]). An address is judged in its IPv4 form when it is an IPv4-mapped one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::secret::SecretValue;

/// Scheme, host (lower case) and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Name or address, lower case, without brackets.
    pub host: String,
    /// Always given, also where it is the scheme's own.
    pub port: u16,
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither `http://` nor `https://`.
    #[error("it does not start with http:// or https://")]
    Scheme,
    /// A user part, which we never send and never show.
    #[error("it has a user part, which is not allowed")]
    UserInfo,
    /// No host.
    #[error("it has no host")]
    Host,
    /// The port is no number.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

impl Origin {
    /// Reads the origin of an absolute URL; path and query are passed over.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = url.split_once("://").ok_or(OriginError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(OriginError::Scheme),
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(OriginError::Host);
        }
        let port = match port {
            None => default_port,
            Some(text) => text
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .ok_or(OriginError::Port)?,
        };
        Ok(Self {
            scheme,
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), OriginError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(OriginError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(OriginError::Port),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.scheme, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
        }
    }
}

/// How to speak TLS with an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM roots that replace the system's.
    pub ca_pem: Option<SecretValue>,
    /// PEM certificate chain and key that we present.
    pub client_pem: Option<(SecretValue, SecretValue)>,
    /// Name to verify instead of the host.
    pub server_name: Option<String>,
}

/// An endpoint that a store's config names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEndpoint {
    /// Where.
    pub origin: Origin,
    /// How.
    pub tls: TlsSettings,
}

/// What the process allows of address classes; flags of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Loopback is open (standalone mode).
    pub loopback: bool,
    /// `--ambient-identity`: link-local and metadata addresses are open to a plugin that asks for them.
    pub ambient_identity: bool,
    /// `--allow-egress`.
    pub allow: Vec<IpNet>,
    /// `--deny-egress`; wins over everything.
    pub deny: Vec<IpNet>,
    /// Addresses of the API server; closed to providers that do not ask for it.
    pub api_server: Vec<IpAddr>,
}

/// What one call's network door lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Endpoints of the store's config, already held against asks and grant.
    pub endpoints: Vec<AllowedEndpoint>,
    /// The process's rules.
    pub rules: AddressRules,
    /// The plugin asks for the metadata address.
    pub asks_metadata: bool,
    /// The plugin asks for the API server.
    pub asks_api_server: bool,
}

/// Why the door stays closed; the text names what opens it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The URL cannot be read.
    #[error("the URL is not one that can be asked: {0}")]
    Url(#[from] OriginError),
    /// Not an endpoint of the config.
    #[error(
        "{0} is not an endpoint of the store's config; name it there, or grant it to the plugin"
    )]
    Origin(Origin),
    /// `--deny-egress` closes it.
    #[error("{0} is closed by --deny-egress {1}")]
    Denied(IpAddr, IpNet),
    /// Loopback in a cluster.
    #[error("{0} is a loopback address; --allow-egress {0}/{1} opens it")]
    Loopback(IpAddr, u8),
    /// Metadata or link-local.
    #[error(
        "{0} is a link-local or metadata address; it opens only to a plugin that asks for it and names the address itself, with --ambient-identity"
    )]
    Metadata(IpAddr),
    /// The API server.
    #[error(
        "{0} is the Kubernetes API server, which this plugin does not ask for; --allow-egress {0}/{1} opens it"
    )]
    ApiServer(IpAddr, u8),
    /// An address that names no host, or many.
    #[error("{0} is not an address of one host")]
    NoHost(IpAddr),
}

impl EgressPolicy {
    /// The endpoint that this URL belongs to.
    pub fn origin(&self, url: &str) -> Result<&AllowedEndpoint, Refusal> {
        let origin = Origin::parse(url)?;
        self.endpoints
            .iter()
            .find(|e| e.origin == origin)
            .ok_or(Refusal::Origin(origin))
    }

    /// Whether we may connect to this address of a host. A metadata address is open only where the endpoint is that
    /// address itself: no name leads there, whoever answers for it.
    pub fn address_of(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let ip = canonical(address);
        if is_metadata(ip) && !is_metadata_host(host) {
            return Err(Refusal::Metadata(ip));
        }
        self.address(address)
    }

    fn address(&self, address: IpAddr) -> Result<(), Refusal> {
        let ip = canonical(address);
        if let Some(net) = self.rules.deny.iter().find(|net| net.contains(&ip)) {
            return Err(Refusal::Denied(ip, *net));
        }
        if is_metadata(ip) {
            let open = self.asks_metadata && self.rules.ambient_identity;
            return if open {
                Ok(())
            } else {
                Err(Refusal::Metadata(ip))
            };
        }
        if self.rules.allow.iter().any(|net| net.contains(&ip)) {
            return Ok(());
        }
        if ip.is_loopback() {
            return if self.rules.loopback {
                Ok(())
            } else {
                Err(Refusal::Loopback(ip, host_bits(ip)))
            };
        }
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Refusal::NoHost(ip));
        }
        if self.rules.api_server.contains(&ip) && !self.asks_api_server {
            return Err(Refusal::ApiServer(ip, host_bits(ip)));
        }
        Ok(())
    }
}

/// Whether a host is written as a link-local or metadata address.
#[must_use]
pub fn is_metadata_host(host: &str) -> bool {
    host.parse().is_ok_and(|ip| is_metadata(canonical(ip)))
}

fn host_bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// An IPv4 address in any of its IPv6 dresses (mapped, compatible, NAT64) becomes IPv4, so that no rule is passed by.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => embedded(high, low),
        _ => v6.into(),
    }
}

fn embedded(high: u16, low: u16) -> IpAddr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d).into()
}

/// Link-local ranges and the metadata addresses of the clouds that lie outside them: AWS over IPv6 (fd00:ec2::254),
/// Azure's wire server (168.63.129.16), Oracle (192.0.0.192), Alibaba (100.100.100.200).
fn is_metadata(ip: IpAddr) -> bool {
    const ELSEWHERE: [IpAddr; 4] = [
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ];
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || ELSEWHERE.contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: AddressRules) -> EgressPolicy {
        EgressPolicy {
            rules,
            ..EgressPolicy::default()
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn reads_origins_and_refuses_what_hides_a_host() {
        let table = [
            ("https://Vault.Corp/v1/x", "https://vault.corp:443"),
            ("http://10.0.0.1:8200", "http://10.0.0.1:8200"),
            ("https://[::1]:8200/v1?x=y", "https://[::1]:8200"),
            ("https://vault.corp.?q", "https://vault.corp:443"),
            ("https://good\\.evil/", "https://good:443"),
        ];
        for (url, origin) in table {
            assert_eq!(Origin::parse(url).unwrap().to_string(), origin, "{url}");
        }
        assert_eq!(Origin::parse("ftp://x"), Err(OriginError::Scheme));
        assert_eq!(Origin::parse("vault:8200"), Err(OriginError::Scheme));
        assert_eq!(
            Origin::parse("https://good@evil/"),
            Err(OriginError::UserInfo)
        );
        assert_eq!(Origin::parse("https://:1/"), Err(OriginError::Host));
        assert_eq!(Origin::parse("https://x:0/"), Err(OriginError::Port));
        assert_eq!(Origin::parse("https://x:99999/"), Err(OriginError::Port));
    }

    #[test]
    fn only_endpoints_of_the_config_are_open() {
        let open = AllowedEndpoint {
            origin: Origin::parse("https://a:1").unwrap(),
            tls: TlsSettings::default(),
        };
        let policy = EgressPolicy {
            endpoints: vec![open.clone()],
            ..EgressPolicy::default()
        };
        assert_eq!(policy.origin("https://a:1/v1/secret"), Ok(&open));
        for closed in [
            "http://a:1/",
            "https://a:2/",
            "https://b:1/",
            "https://a.b:1/",
        ] {
            assert!(
                matches!(policy.origin(closed), Err(Refusal::Origin(_))),
                "{closed}"
            );
        }
    }

    #[test]
    fn metadata_addresses_are_closed_in_every_dress() {
        let all = policy(AddressRules {
            loopback: true,
            allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            ..AddressRules::default()
        });
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
        ] {
            assert!(
                matches!(all.address(ip(address)), Err(Refusal::Metadata(_))),
                "{address}"
            );
        }
        let mut asking = policy(AddressRules {
            ambient_identity: true,
            ..AddressRules::default()
        });
        assert!(asking.address(ip("169.254.169.254")).is_err());
        asking.asks_metadata = true;
        let metadata = ip("169.254.169.254");
        assert_eq!(asking.address(metadata), Ok(()));
        assert_eq!(asking.address_of("169.254.169.254", metadata), Ok(()));
        // Whoever owns the name could lead it there.
        assert!(asking.address_of("metadata.corp", metadata).is_err());
        assert!(asking.address_of("2852039166", metadata).is_err());
    }

    #[test]
    fn loopback_is_closed_unless_opened_and_the_text_names_the_flag() {
        let closed = policy(AddressRules::default());
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let refusal = closed.address(ip(address)).unwrap_err();
            assert!(refusal.to_string().contains("--allow-egress"), "{refusal}");
        }
        let one = policy(AddressRules {
            allow: vec!["127.0.0.1/32".parse().unwrap()],
            ..AddressRules::default()
        });
        assert_eq!(one.address(ip("127.0.0.1")), Ok(()));
        assert!(one.address(ip("127.0.0.2")).is_err());
        let standalone = policy(AddressRules {
            loopback: true,
            ..AddressRules::default()
        });
        assert_eq!(standalone.address(ip("::1")), Ok(()));
    }

    #[test]
    fn deny_wins_and_private_addresses_are_open() {
        let rules = AddressRules {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.1.0.0/16".parse().unwrap()],
            ..AddressRules::default()
        };
        let policy = policy(rules);
        assert_eq!(policy.address(ip("10.2.0.1")), Ok(()));
        assert_eq!(policy.address(ip("192.168.0.1")), Ok(()));
        assert!(matches!(
            policy.address(ip("::ffff:10.1.2.3")),
            Err(Refusal::Denied(..))
        ));
    }

    #[test]
    fn the_api_server_is_closed_to_plugins_that_do_not_ask() {
        let rules = AddressRules {
            api_server: vec![ip("10.96.0.1")],
            ..AddressRules::default()
        };
        let mut policy = policy(rules);
        assert!(matches!(
            policy.address(ip("10.96.0.1")),
            Err(Refusal::ApiServer(..))
        ));
        policy.asks_api_server = true;
        assert_eq!(policy.address(ip("10.96.0.1")), Ok(()));
    }
}
