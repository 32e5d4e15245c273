//! [`Networks`]: which addresses this server connects to. Pure.
//!
//! Connections of a shared server are named by people who may not see its network. Without a list, a server connects to any
//! address but its own machine's and those of its link, where clouds keep their metadata. With a list, to nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Which addresses may be connected to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks(Vec<Network>);

/// A network, `10.0.0.0/8` or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    /// Bits of the address that count.
    prefix: u32,
}

/// IPv6 networks in which an IPv4 address is hidden: 6to4 and NAT64, with the byte at which it begins.
const HIDING: [(u16, u16, usize); 2] = [(0x2002, 0, 2), (0x0064, 0xff9b, 12)];

// === impl Networks ===

impl Networks {
    /// Those of a list; without one, all that are neither this machine's nor its link's.
    pub(crate) fn new(list: &[Network]) -> Self {
        Networks(list.to_vec())
    }

    /// Whether an address may be connected to.
    pub(crate) fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.0.is_empty() {
            return is_elsewhere(address)
                && hidden(address).is_none_or(|inner| is_elsewhere(IpAddr::V4(inner)));
        }
        self.0.iter().any(|network| network.holds(address))
    }
}

// === impl Network ===

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("\"{text}\" is not a network: 10.0.0.0/8, 192.0.2.7 or fd00::/8 would be one");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().map_err(|_form| expected())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_form| expected())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most {
            return Err(expected());
        }
        Ok(Network { address, prefix })
    }
}

/// Whether an address is neither this machine's nor its link's, and one host's.
fn is_elsewhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            let is_here = v4.is_loopback() || v4.is_link_local() || first == 0;
            !(is_here || v4.is_multicast() || v4.is_broadcast() || first >= 240)
        }
        IpAddr::V6(v6) => {
            let is_here = v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local();
            !(is_here || v6.is_multicast())
        }
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn hidden(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let [first, second, ..] = v6.segments();
    let (_, _, at) =
        HIDING.into_iter().find(|(one, two, _)| *one == first && (*two == 0 || *two == second))?;
    inner(v6, at)
}

fn inner(v6: Ipv6Addr, at: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = v6.octets().get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(list: &[&str], address: &str) -> bool {
        let list: Vec<Network> = list.iter().map(|text| text.parse().unwrap()).collect();
        Networks::new(&list).allow(address.parse().unwrap())
    }

    #[test]
    fn this_machine_and_its_link_are_left_alone() {
        for bad in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "64:ff9b::127.0.0.1",
        ] {
            assert!(!allow(&[], bad), "{bad}");
        }
        for good in [
            "192.0.2.7",
            "10.1.2.3",
            "192.168.1.1",
            "2001:db8::7",
            "fd00::1",
            "2002:c000:207::",
            "64:ff9b::192.0.2.7",
        ] {
            assert!(allow(&[], good), "{good}");
        }
    }

    #[test]
    fn a_list_allows_what_is_in_it_and_nothing_else() {
        let list = &["10.0.0.0/8", "127.0.0.1", "fd00::/8"];
        for (address, good) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe00::1", false),
            ("192.0.2.7", false),
        ] {
            assert_eq!(allow(list, address), good, "{address}");
        }
        assert!(allow(&["0.0.0.0/0"], "127.0.0.1"));
        assert!(!allow(&["0.0.0.0/0"], "::1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "::/129", "x", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8", "db1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
