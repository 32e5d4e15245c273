//! What users give that is not looked up anywhere: hosts of servers, names of slots.

use core::net::Ipv6Addr;

/// Longest host name of the DNS, bytes.
const MAX_HOST_BYTES: usize = 253;

/// Longest name of a slot, bytes (`NAMEDATALEN` - 1).
const MAX_SLOT_NAME_BYTES: usize = 63;

/// Whether a name or an address can be that of a host: of a length that the DNS knows, with nothing in it that has a meaning
/// elsewhere.
pub fn is_possible_host(host: &str) -> bool {
    let is_name = host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (1..=MAX_HOST_BYTES).contains(&host.len()) && (is_name || host.parse::<Ipv6Addr>().is_ok())
}

/// Whether PostgreSQL takes a name for a replication slot (`ReplicationSlotValidateName`: lower-case letters, digits,
/// underscores), and it is not of the reserved ones.
pub fn is_slot_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_SLOT_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with("pg_")
}
