//! Decides which addresses may be dialled. Nothing else in this crate makes a [`CheckedAddress`], and only those are dialled.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Host;

use crate::ranges::{is_opened, refusal};
use crate::{FetchError, FetchErrorKind, TargetUrl};

const OPEN_PORTS: [u16; 2] = [80, 443];

/// An address that passed the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckedAddress(SocketAddr);

impl CheckedAddress {
    pub(crate) fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

/// The rules.
#[derive(Debug)]
pub(crate) struct Guard {
    allow_private: Vec<IpNet>,
    allow_ports: Vec<u16>,
    refuse_hosts: Vec<String>,
    /// Those of the refused hosts that are addresses: no name may lead to them either.
    refuse_addresses: Vec<IpAddr>,
}

impl Guard {
    pub(crate) fn new(
        allow_private: Vec<IpNet>,
        allow_ports: Vec<u16>,
        refuse_hosts: &[String],
    ) -> Self {
        Self {
            allow_private,
            allow_ports,
            refuse_hosts: refuse_hosts.iter().map(|host| normalized(host)).collect(),
            refuse_addresses: refuse_hosts
                .iter()
                .filter_map(|host| host.parse::<IpAddr>().ok())
                .map(|address| address.to_canonical())
                .collect(),
        }
    }

    /// Refuses what can be refused without a look-up. Passing here opens nothing.
    pub(crate) fn precheck(&self, url: &TargetUrl) -> Result<(), FetchError> {
        match url.host() {
            Some(Host::Domain(name)) => {
                if self.is_refused_name(name) {
                    return Err(blocked("this host is never asked"));
                }
                // A name may turn out to lie in an opened range, where every port is open.
                if self.allow_private.is_empty() && !self.is_open_port(url.port()) {
                    return Err(closed_port(url.port()));
                }
                Ok(())
            }
            Some(Host::Ipv4(address)) => self.check(&[address.into()], url.port()).map(drop),
            Some(Host::Ipv6(address)) => self.check(&[address.into()], url.port()).map(drop),
            None => Err(blocked("the URL has no host")),
        }
    }

    /// Checks all addresses of a host. One that may not be dialled denies the host: mixing public and private answers is how a
    /// name is made to pass here and lead elsewhere.
    pub(crate) fn check(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<Vec<CheckedAddress>, FetchError> {
        let mut checked = Vec::with_capacity(addresses.len());
        for &address in addresses {
            if self.refuse_addresses.contains(&address.to_canonical()) {
                return Err(blocked("this host is never asked"));
            }
            if let Some(range) = refusal(address, &self.allow_private) {
                // The address itself is not named: for a name it would tell strangers what our resolver knows.
                return Err(blocked(format!(
                    "the host has a special-purpose address ({})",
                    range.purpose
                )));
            }
            if !self.is_open_port(port) && !is_opened(address, &self.allow_private) {
                return Err(closed_port(port));
            }
            checked.push(CheckedAddress(SocketAddr::new(
                address.to_canonical(),
                port,
            )));
        }
        Ok(checked)
    }

    fn is_open_port(&self, port: u16) -> bool {
        OPEN_PORTS.contains(&port) || self.allow_ports.contains(&port)
    }

    fn is_refused_name(&self, name: &str) -> bool {
        if self.refuse_hosts.is_empty() {
            return false;
        }
        let name = normalized(name);
        self.refuse_hosts.iter().any(|refused| {
            name.strip_suffix(refused.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

fn normalized(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn blocked(detail: impl Into<String>) -> FetchError {
    FetchError::new(FetchErrorKind::Blocked, detail)
}

fn closed_port(port: u16) -> FetchError {
    blocked(format!(
        "port {port} is not open; only 80 and 443 are by default"
    ))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use domain::{Limits, Outcome};
    use proptest::prelude::*;

    use super::*;

    fn guard(allow_private: &[&str], allow_ports: &[u16], refuse_hosts: &[&str]) -> Guard {
        let nets = allow_private
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let hosts: Vec<String> = refuse_hosts.iter().map(|&host| host.to_owned()).collect();
        Guard::new(nets, allow_ports.to_vec(), &hosts)
    }

    fn precheck(guard: &Guard, url: &str) -> Result<(), FetchError> {
        guard.precheck(&TargetUrl::parse(url, &Limits::default()).unwrap())
    }

    fn check(
        guard: &Guard,
        addresses: &[&str],
        port: u16,
    ) -> Result<Vec<CheckedAddress>, FetchError> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        guard.check(&addresses, port)
    }

    #[test]
    fn literal_addresses_are_refused_in_every_spelling() {
        let guard = guard(&[], &[], &[]);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "0",
            "0.0.0.0",
            "①②⑦.⓪.⓪.①",
        ] {
            let error = precheck(&guard, &format!("http://{host}/a.jpg")).unwrap_err();
            assert_eq!(error.outcome(), Outcome::BlockedAddress, "{host}");
        }
    }

    #[test]
    fn one_private_answer_denies_the_whole_host() {
        let guard = guard(&[], &[], &[]);
        assert_eq!(
            check(&guard, &["1.1.1.1", "2606:4700::1111"], 443)
                .unwrap()
                .len(),
            2
        );
        for answers in [
            ["1.1.1.1", "10.0.0.1"],
            ["10.0.0.1", "1.1.1.1"],
            ["1.1.1.1", "fd00::1"],
        ] {
            let error = check(&guard, &answers, 443).unwrap_err();
            assert_eq!(error.kind(), FetchErrorKind::Blocked, "{answers:?}");
            assert!(!error.to_string().contains("10.0"), "{error}");
        }
    }

    #[test]
    fn only_web_ports_are_open_but_any_port_of_an_opened_range() {
        let closed = guard(&[], &[8080], &[]);
        for (port, is_open) in [
            (80, true),
            (443, true),
            (8080, true),
            (22, false),
            (6379, false),
            (0, false),
        ] {
            assert_eq!(
                check(&closed, &["1.1.1.1"], port).is_ok(),
                is_open,
                "{port}"
            );
            assert_eq!(
                precheck(&closed, &format!("http://example.com:{port}/")).is_ok(),
                is_open,
                "{port}"
            );
        }
        let opened = guard(&["127.0.0.0/8"], &[], &[]);
        assert!(check(&opened, &["127.0.0.1"], 6379).is_ok());
        assert!(check(&opened, &["1.1.1.1"], 6379).is_err());
        assert!(check(&opened, &["127.0.0.1", "1.1.1.1"], 6379).is_err());
        assert!(precheck(&opened, "http://example.com:6379/").is_ok());
    }

    #[test]
    fn a_refused_address_is_refused_by_whatever_name() {
        let guard = guard(&[], &[], &["93.184.216.34"]);
        for host in ["93.184.216.34", "[::ffff:93.184.216.34]"] {
            assert!(
                precheck(&guard, &format!("http://{host}/")).is_err(),
                "{host}"
            );
        }
        assert!(check(&guard, &["93.184.216.35", "93.184.216.34"], 80).is_err());
        assert!(check(&guard, &["93.184.216.35"], 80).is_ok());
    }

    #[test]
    fn refused_names_include_their_subdomains_and_nothing_else() {
        let guard = guard(&[], &[], &["API.example.com."]);
        for (host, is_open) in [
            ("api.example.com", false),
            ("api.example.com.", false),
            ("API.EXAMPLE.COM", false),
            ("v1.api.example.com", false),
            ("notapi.example.com", true),
            ("example.com", true),
        ] {
            assert_eq!(
                precheck(&guard, &format!("https://{host}/")).is_ok(),
                is_open,
                "{host}"
            );
        }
    }

    #[test]
    fn a_mapped_address_is_dialled_as_ipv4() {
        let checked = check(&guard(&[], &[], &[]), &["::ffff:1.1.1.1"], 80).unwrap();
        assert_eq!(checked[0].socket_addr(), "1.1.1.1:80".parse().unwrap());
    }

    fn private_ipv4() -> impl Strategy<Value = Ipv4Addr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from(0x0a00_0000 | bits >> 8)),
            any::<u32>().prop_map(|bits| Ipv4Addr::from(0x7f00_0000 | bits >> 8)),
            any::<u32>().prop_map(|bits| Ipv4Addr::from(0xac10_0000 | bits >> 12)),
            any::<u16>().prop_map(|bits| Ipv4Addr::from(0xc0a8_0000 | u32::from(bits))),
            any::<u16>().prop_map(|bits| Ipv4Addr::from(0xa9fe_0000 | u32::from(bits))),
        ]
    }

    /// One part of an address, in the bases that `inet_aton` and the URL standard accept.
    fn spelled(value: u32, base: u8) -> String {
        match base % 4 {
            0 => value.to_string(),
            1 => format!("0{value:o}"),
            2 => format!("0x{value:x}"),
            _ => format!("0X{value:08X}"),
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_private_ipv4_address_is_denied(address in private_ipv4(), parts in 1_usize..=4, bases in any::<[u8; 4]>()) {
            let bits = u32::from(address);
            let mut spelling = Vec::new();
            for (part, base) in bases.iter().enumerate().take(parts - 1) {
                spelling.push(spelled(bits >> (24 - 8 * part) & 0xff, *base));
            }
            let rest = bits & (u32::MAX >> (8 * (parts - 1)));
            spelling.push(spelled(rest, bases[parts - 1]));
            let host = spelling.join(".");
            let guard = guard(&[], &[], &[]);
            let denied = precheck(&guard, &format!("http://{host}/x")).unwrap_err();
            prop_assert_eq!(denied.outcome(), Outcome::BlockedAddress);
            for prefix in ["::ffff:", "64:ff9b::", "::"] {
                let wrapped = format!("http://[{prefix}{address}]/x");
                prop_assert!(precheck(&guard, &wrapped).is_err(), "{}", wrapped);
            }
        }
    }
}
