//! The channel binding data `tls-server-end-point` of a certificate (RFC 5929, section 4.1).

use sha2::{Digest, Sha256, Sha384, Sha512};

/// DER tag of a SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// DER tag of an OBJECT IDENTIFIER.
const OBJECT_IDENTIFIER: u8 = 0x06;

/// 1.2.840.113549.1.1, the arc of RSA signatures, and its members by their last number.
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];

/// 1.2.840.10045.4, the arc of ECDSA signatures.
const ECDSA: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04];

/// The hash of the certificate with the hash function of its own signature, SHA-256 in place of MD5 and SHA-1.
///
/// `None` when the signature has no hash function of its own (Ed25519) or one that is stated elsewhere (RSA-PSS): the
/// RFC defines nothing for them, and channel binding is then not offered, as libpq does.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (tag, body, _) = element(certificate)?;
    if tag != SEQUENCE {
        return None;
    }
    let (_, _, after_tbs) = element(body)?;
    let (tag, algorithm, _) = element(after_tbs)?;
    if tag != SEQUENCE {
        return None;
    }
    let (tag, oid, _) = element(algorithm)?;
    if tag != OBJECT_IDENTIFIER {
        return None;
    }
    let rsa = oid.strip_prefix(RSA);
    let ecdsa = oid.strip_prefix(ECDSA);
    Some(match (rsa, ecdsa) {
        // md5, sha1 and sha256 with RSA; ECDSA with sha1 and sha256.
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Sha256::digest(certificate).to_vec(),
        (Some([12]), _) | (_, Some([3, 3])) => Sha384::digest(certificate).to_vec(),
        (Some([13]), _) | (_, Some([3, 4])) => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

/// Splits off the first DER element: tag, contents, rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Certificates are far below 2^32 bytes.
        let count = usize::from(first & 0x7F);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        (digits.iter().fold(0, |length, &digit| (length << 8) | usize::from(digit)), rest)
    };
    (length <= rest.len()).then(|| {
        let (contents, rest) = rest.split_at(length);
        (tag, contents, rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A certificate-shaped value with the given signature algorithm.
    fn certificate(oid: &[u8]) -> Vec<u8> {
        let mut algorithm = vec![OBJECT_IDENTIFIER, u8::try_from(oid.len()).unwrap()];
        algorithm.extend(oid);
        let mut body = vec![SEQUENCE, 2, 5, 0, SEQUENCE, u8::try_from(algorithm.len()).unwrap()];
        body.extend(algorithm);
        let mut whole = vec![SEQUENCE, 0x81, u8::try_from(body.len()).unwrap()];
        whole.extend(body);
        whole
    }

    #[test]
    fn hash_function_follows_the_signature() {
        let check = |arc: &[u8], last: &[u8], expected: Option<usize>| {
            let found = server_end_point(&certificate(&[arc, last].concat()));
            assert_eq!(found.map(|hash| hash.len()), expected, "{last:?}");
        };
        check(RSA, &[5], Some(32));
        check(RSA, &[11], Some(32));
        check(RSA, &[12], Some(48));
        check(RSA, &[13], Some(64));
        check(RSA, &[10], None);
        check(ECDSA, &[3, 2], Some(32));
        check(ECDSA, &[3, 3], Some(48));
        check(ECDSA, &[3, 4], Some(64));
        check(&[0x2B, 0x65], &[0x70], None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = server_end_point(&bytes).map(|hash| hash.len());
        }
    }
}
