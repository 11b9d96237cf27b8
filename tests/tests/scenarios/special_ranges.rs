//! What is not the public Internet, written down once more from the registries themselves, so that a range which the guard's own
//! table forgets is missed here.
//!
//! Sources: IANA IPv4 Special-Purpose Address Registry, IANA IPv6 Special-Purpose Address Registry, IANA IPv4 Multicast Address
//! Space, IANA Internet Protocol Version 6 Address Space; all entries, also those that the registries call globally reachable.

use std::net::IpAddr;

use ipnet::IpNet;

const IPV4: &[&str] = &[
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

const IPV6: &[&str] = &[
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// What no registry lists: addresses at which cloud providers answer their own machines.
const CLOUD: &[&str] = &["168.63.129.16/32", "fd00:ec2::/32"];

/// The one part of the IPv6 address space that is handed out for hosts.
const GLOBAL_UNICAST: &str = "2000::/3";

fn parse(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Every entry of the registries, and the clouds' own.
pub(crate) fn iana_ranges() -> Vec<IpNet> {
    [parse(IPV4), parse(IPV6), parse(CLOUD)].concat()
}

/// Whether a host on the public Internet may have this address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    if iana_ranges().iter().any(|net| net.contains(&address)) {
        return false;
    }
    let global_unicast: IpNet = GLOBAL_UNICAST.parse().unwrap();
    address.is_ipv4() || global_unicast.contains(&address)
}
