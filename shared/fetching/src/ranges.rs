//! Addresses that are not places on the public Internet.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries, the IANA IPv6 address space (only `2000::/3` is handed out
//! for global unicast), and what cloud providers answer on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range with the reason not to dial into it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SpecialRange {
    pub(crate) net: IpNet,
    /// What the range is for, as a noun phrase.
    pub(crate) purpose: &'static str,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, purpose: &'static str) -> SpecialRange {
    let net = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix));
    SpecialRange { net, purpose }
}

const fn v6(segments: [u16; 4], prefix: u8, purpose: &'static str) -> SpecialRange {
    let [first, second, third, fourth] = segments;
    v6_long([first, second, third, fourth, 0, 0, 0, 0], prefix, purpose)
}

const fn v6_long(s: [u16; 8], prefix: u8, purpose: &'static str) -> SpecialRange {
    let address = Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
    let net = IpNet::V6(Ipv6Net::new_assert(address, prefix));
    SpecialRange { net, purpose }
}

/// Every range that is denied. The first match names the reason, so narrower ranges stand before the ones around them.
pub(crate) const SPECIAL_RANGES: &[SpecialRange] = &[
    v4(0, 0, 0, 0, 8, "this network"),                  // RFC 791, 3.2
    v4(10, 0, 0, 0, 8, "private use"),                  // RFC 1918
    v4(100, 64, 0, 0, 10, "shared address space"), // RFC 6598; Alibaba's metadata is 100.100.100.200
    v4(127, 0, 0, 0, 8, "loop-back"),              // RFC 1122, 3.2.1.3; the Lambda runtime API
    v4(168, 63, 129, 16, 32, "cloud platform service"), // Azure's virtual public address of the host
    v4(169, 254, 0, 0, 16, "link-local"), // RFC 3927; metadata of most clouds, Lambda's telemetry
    v4(172, 16, 0, 0, 12, "private use"), // RFC 1918
    v4(192, 0, 0, 0, 24, "IETF protocol assignments"), // RFC 6890, 2.1; Oracle's metadata is 192.0.0.192
    v4(192, 0, 2, 0, 24, "documentation"),             // RFC 5737
    v4(192, 31, 196, 0, 24, "AS112 name service"),     // RFC 7535
    v4(192, 52, 193, 0, 24, "automatic multicast tunneling"), // RFC 7450
    v4(192, 88, 99, 0, 24, "6to4 relay anycast"),      // RFC 7526
    v4(192, 168, 0, 0, 16, "private use"),             // RFC 1918
    v4(192, 175, 48, 0, 24, "AS112 name service"),     // RFC 7534
    v4(198, 18, 0, 0, 15, "benchmarking"),             // RFC 2544
    v4(198, 51, 100, 0, 24, "documentation"),          // RFC 5737
    v4(203, 0, 113, 0, 24, "documentation"),           // RFC 5737
    v4(224, 0, 0, 0, 4, "multicast"),                  // RFC 5771
    v4(255, 255, 255, 255, 32, "limited broadcast"),   // RFC 919
    v4(240, 0, 0, 0, 4, "reserved"),                   // RFC 1112, 4
    v6([0, 0, 0, 0], 128, "unspecified"),              // RFC 4291, 2.5.2
    v6_long([0, 0, 0, 0, 0, 0, 0, 1], 128, "loop-back"), // RFC 4291, 2.5.3
    v6([0, 0, 0, 0], 96, "IPv4-compatible IPv6"),      // RFC 4291, 2.5.5.1
    v6([0x64, 0xff9b, 1, 0], 48, "local-use IPv4/IPv6 translation"), // RFC 8215
    v6([0x100, 0, 0, 0], 64, "discard-only"),          // RFC 6666
    v6([0x100, 0, 0, 1], 64, "dummy IPv6 prefix"),     // RFC 9780
    v6([0x2001, 0, 0, 0], 32, "Teredo"),               // RFC 4380
    v6([0x2001, 2, 0, 0], 48, "benchmarking"),         // RFC 5180
    v6([0x2001, 3, 0, 0], 32, "automatic multicast tunneling"), // RFC 7450
    v6([0x2001, 4, 0x112, 0], 48, "AS112 name service"), // RFC 7535
    v6([0x2001, 0x10, 0, 0], 28, "ORCHID"),            // RFC 4843
    v6([0x2001, 0x20, 0, 0], 28, "ORCHIDv2"),          // RFC 7343
    v6([0x2001, 0x30, 0, 0], 28, "drone remote identification"), // RFC 9374
    v6([0x2001, 0, 0, 0], 23, "IETF protocol assignments"), // RFC 2928
    v6([0x2001, 0xdb8, 0, 0], 32, "documentation"),    // RFC 3849
    v6([0x2002, 0, 0, 0], 16, "6to4"),                 // RFC 3056
    v6([0x2620, 0x4f, 0x8000, 0], 48, "AS112 name service"), // RFC 7534
    v6([0x3fff, 0, 0, 0], 20, "documentation"),        // RFC 9637
    v6([0x5f00, 0, 0, 0], 16, "segment routing identifiers"), // RFC 9602
    v6([0xfd00, 0xec2, 0, 0], 32, "cloud platform service"), // AWS: metadata, DNS, time over IPv6
    v6([0xfc00, 0, 0, 0], 7, "unique local"),          // RFC 4193
    v6([0xfe80, 0, 0, 0], 10, "link-local"),           // RFC 4291, 2.5.6
    v6([0xfec0, 0, 0, 0], 10, "site-local"),           // RFC 3879
    v6([0xff00, 0, 0, 0], 8, "multicast"),             // RFC 4291, 2.7
    v6([0, 0, 0, 0], 3, "outside global unicast"), // RFC 4291, 2.4, and the rest of what is not 2000::/3
    v6([0x4000, 0, 0, 0], 2, "outside global unicast"),
    v6([0x8000, 0, 0, 0], 1, "outside global unicast"),
];

/// Every range that is denied unless it is opened, with what it is for; narrower ones before those around them.
pub fn special_ranges() -> impl Iterator<Item = (IpNet, &'static str)> {
    SPECIAL_RANGES
        .iter()
        .map(|range| (range.net, range.purpose))
}

/// The one prefix outside `2000::/3` that leads to public hosts, namely to the IPv4 host in its last four bytes (RFC 6052, 2.1).
/// On an IPv6-only network with DNS64 it is how every IPv4 host is reached.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Why `address` must not be dialled, unless a range in `allowed` opens it; `None` if it may.
///
/// An IPv6 address that carries an IPv4 address leads there in the end, so that one has to pass as well.
pub(crate) fn refusal(address: IpAddr, allowed: &[IpNet]) -> Option<&'static SpecialRange> {
    match address {
        IpAddr::V4(_) => listed(address, allowed),
        IpAddr::V6(address) => {
            if let Some(mapped) = address.to_ipv4_mapped() {
                return listed(mapped.into(), allowed);
            }
            let carried = carried_ipv4(address)
                .into_iter()
                .flatten()
                .find_map(|inner| listed(inner.into(), allowed));
            if carried.is_some() || NAT64.contains(&address) {
                return carried;
            }
            listed(address.into(), allowed)
        }
    }
}

/// Whether a range in `allowed` opens `address` itself.
pub(crate) fn is_opened(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|net| net.contains(&address))
}

fn listed(address: IpAddr, allowed: &[IpNet]) -> Option<&'static SpecialRange> {
    let range = SPECIAL_RANGES
        .iter()
        .find(|range| range.net.contains(&address))?;
    (!is_opened(address, allowed)).then_some(range)
}

/// The IPv4 addresses that `address` may be a wrapper of. Loop-back and the unspecified address look like wrappers and are none.
fn carried_ipv4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bytes = address.octets();
    let ipv4 = |at: usize| {
        Some(Ipv4Addr::new(
            bytes[at],
            bytes[at + 1],
            bytes[at + 2],
            bytes[at + 3],
        ))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // In the last four bytes: IPv4-compatible (RFC 4291, 2.5.5.1), translated with a prefix of 96 bits (RFC 6052, 2.2), and
        // ISATAP under any prefix (RFC 5214, 6.1).
        [0, 0, 0, 0, 0, 0, _, _]
        | [0x64, 0xff9b, 0 | 1, 0, 0, 0, _, _]
        | [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => [ipv4(12), None],
        // Translated with a prefix of 48 bits: split around byte 8 (RFC 6052, 2.2).
        [0x64, 0xff9b, 1, ..] => {
            let split = Ipv4Addr::new(bytes[6], bytes[7], bytes[9], bytes[10]);
            [Some(split), None]
        }
        // 6to4 (RFC 3056, 2).
        [0x2002, ..] => [ipv4(2), None],
        // Teredo: the server, and the client with all bits inverted (RFC 4380, 4).
        [0x2001, 0, ..] => {
            let client = Ipv4Addr::new(!bytes[12], !bytes[13], !bytes[14], !bytes[15]);
            [ipv4(4), Some(client)]
        }
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_denied(address: &str) -> bool {
        refusal(address.parse().unwrap(), &[]).is_some()
    }

    fn neighbours(net: IpNet) -> Vec<IpAddr> {
        match net {
            IpNet::V4(net) => [
                u32::from(net.network()).checked_sub(1),
                u32::from(net.broadcast()).checked_add(1),
            ]
            .into_iter()
            .flatten()
            .map(|bits| Ipv4Addr::from(bits).into())
            .collect(),
            IpNet::V6(net) => [
                u128::from(net.network()).checked_sub(1),
                u128::from(net.broadcast()).checked_add(1),
            ]
            .into_iter()
            .flatten()
            .map(|bits| Ipv6Addr::from(bits).into())
            .collect(),
        }
    }

    #[test]
    fn the_first_and_last_address_of_every_range_are_denied() {
        for range in SPECIAL_RANGES {
            assert!(refusal(range.net.network(), &[]).is_some(), "{}", range.net);
            assert!(
                refusal(range.net.broadcast(), &[]).is_some(),
                "{}",
                range.net
            );
            assert_eq!(
                range.net.network(),
                range.net.addr(),
                "{} has host bits",
                range.net
            );
        }
    }

    #[test]
    fn the_outside_neighbours_of_every_range_are_denied_only_by_another_range() {
        let mut allowed = 0;
        for range in SPECIAL_RANGES {
            for neighbour in neighbours(range.net) {
                assert!(!range.net.contains(&neighbour));
                let is_in_another = SPECIAL_RANGES
                    .iter()
                    .any(|other| other.net.contains(&neighbour));
                // The end of ::/96 touches nothing that is open; mapped addresses follow the IPv4 table.
                let expected =
                    is_in_another && neighbour.to_canonical().is_ipv6() == neighbour.is_ipv6();
                assert_eq!(
                    refusal(neighbour, &[]).is_some(),
                    expected,
                    "{neighbour} next to {}",
                    range.net
                );
                allowed += u32::from(!expected);
            }
        }
        assert!(allowed > 30, "{allowed}");
    }

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert!(!is_denied(address), "{address}");
        }
    }

    #[test]
    fn cloud_metadata_is_denied_everywhere() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
        ] {
            assert!(is_denied(address), "{address}");
        }
    }

    #[test]
    fn a_private_ipv4_address_is_denied_in_each_of_its_ipv6_wrappings() {
        for wrapped in [
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "2002:0a00:0001::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1:0a00:0:100::",
            "64:ff9b:1::10.0.0.1",
            "2001:0:0a00:0001::",
            "2001:0:808:808::f5ff:fffe",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
        ] {
            let range = refusal(wrapped.parse().unwrap(), &[]).unwrap();
            assert_eq!(range.purpose, "private use", "{wrapped}");
        }
    }

    #[test]
    fn a_public_ipv4_address_is_reached_through_wrappings_that_are_routed() {
        for wrapped in [
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2606:4700::5efe:8.8.8.8",
        ] {
            assert!(!is_denied(wrapped), "{wrapped}");
        }
        for wrapped in [
            "::8.8.8.8",
            "2002:808:808::1",
            "64:ff9b:1::8.8.8.8",
            "2001:0:808:808::f7f7:f7f7",
        ] {
            assert!(is_denied(wrapped), "{wrapped}");
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_and_nothing_else() {
        let allowed: Vec<IpNet> =
            vec!["10.1.0.0/16".parse().unwrap(), "fd00::/16".parse().unwrap()];
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::10.1.2.3", true),
            ("fd00::1", true),
            ("10.2.0.1", false),
            ("::ffff:10.2.0.1", false),
            ("64:ff9b::10.2.0.1", false),
            ("2002:0a01:0203::1", false),
            ("127.0.0.1", false),
            ("fd01::1", false),
        ] {
            let is_open = refusal(address.parse().unwrap(), &allowed).is_none();
            assert_eq!(is_open, expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn every_ipv6_address_outside_global_unicast_is_denied_unless_it_leads_to_public_ipv4(bits in any::<u128>()) {
            let address = Ipv6Addr::from(bits);
            let is_global_unicast = address.segments()[0] >> 13 == 1;
            if !is_global_unicast && address.to_ipv4_mapped().is_none() && !NAT64.contains(&address) {
                prop_assert!(refusal(address.into(), &[]).is_some());
            }
        }

        #[test]
        fn wrapping_changes_nothing_for_any_ipv4_address(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let expected = refusal(address.into(), &[]).is_some();
            let [a, b, c, d] = address.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(refusal(address.to_ipv6_mapped().into(), &[]).is_some(), expected);
            prop_assert_eq!(refusal(translated.into(), &[]).is_some(), expected);
        }
    }
}
