//! How the way to a server is protected, for people and as JSON.

use std::time::SystemTime;

use segcdc_model::{CertificateCheck, TlsFacts};
use serde::Serialize;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::text;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// A session under TLS.
#[derive(Debug, Serialize)]
pub(crate) struct LinkView {
    /// Version of TLS, like `TLSv1.3`.
    version: String,
    /// Cipher suite, as IANA calls it.
    cipher: String,
    /// What of the certificate was checked: `nothing`, `authority` or `authority_and_name`.
    checked: &'static str,
    /// What is encrypted: `everything`, or the `login` only.
    encrypted: &'static str,
    /// Whether the proof of the password was bound to the TLS session; `null` where there was none, or no such thing.
    channel_binding: Option<bool>,
    /// The server's certificate; `null` where it showed none that can be read.
    certificate: Option<CertificateView>,
}

/// What a server's certificate says.
#[derive(Debug, Serialize)]
struct CertificateView {
    /// Whose it is.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// When its time begins, UTC.
    not_before: String,
    /// When its time ends, UTC.
    not_after: String,
    /// Whole days until then; negative once it is over.
    days_left: i64,
}

// === impl LinkView ===

impl LinkView {
    /// What `facts` say at the time `now`.
    pub(crate) fn new(
        facts: &TlsFacts,
        is_all_encrypted: bool,
        channel_binding: Option<bool>,
        now: SystemTime,
    ) -> Self {
        LinkView {
            version: facts.version.clone(),
            cipher: facts.cipher.clone(),
            checked: facts.check.as_str(),
            encrypted: if is_all_encrypted { "everything" } else { "login" },
            channel_binding,
            certificate: facts.certificate.as_deref().and_then(|der| CertificateView::read(der, now)),
        }
    }

    /// Lines under the line of the server.
    pub(crate) fn lines(view: Option<&Self>) -> Vec<String> {
        let Some(link) = view else {
            return vec!["  tls   none: what is sent can be read on the way".to_owned()];
        };
        let checked = match link.checked {
            checked if checked == CertificateCheck::Nothing.as_str() => "certificate not checked",
            checked if checked == CertificateCheck::Authority.as_str() => {
                "certificate checked, but not its name"
            }
            _ => "certificate and its name checked",
        };
        let scope = if link.encrypted == "login" { "for the login only, " } else { "" };
        let bound = match link.channel_binding {
            Some(true) => ", password bound to the session",
            Some(false) => ", password not bound to the session",
            None => "",
        };
        let mut lines = vec![format!("  tls   {scope}{}, {}, {checked}{bound}", link.version, link.cipher)];
        lines.extend(link.certificate.as_ref().map(CertificateView::line));
        lines
    }
}

// === impl CertificateView ===

impl CertificateView {
    /// Reads a certificate; `None` for what is none.
    fn read(der: &[u8], now: SystemTime) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let left = validity.not_after.timestamp().saturating_sub(i64::try_from(now).ok()?);
        Some(CertificateView {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: moment(&validity.not_before),
            not_after: moment(&validity.not_after),
            days_left: left.div_euclid(DAY),
        })
    }

    /// For people. The names are the server's words.
    fn line(&self) -> String {
        let CertificateView { not_after, days_left, .. } = self;
        let when = match days_left {
            ..0 => format!("which is over since {not_after}"),
            _ => format!("until {not_after} (days left: {days_left})"),
        };
        text::visible(&format!("  cert  {} by {}, {when}", self.subject, self.issuer))
    }
}

/// A moment as RFC 3339 has it, to the second.
fn moment(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `openssl req -x509 -newkey ed25519 -subj /O=Shop/CN=db.shop.example -days 3650 -outform der`, begun on 2026-11-27.
    const CERTIFICATE: &[u8] = include_bytes!("../tests/data/db.shop.example.der");

    fn view(check: CertificateCheck, bound: Option<bool>, day: u64, certificate: &[u8]) -> LinkView {
        let names = (Some("TLSv1_3"), Some("TLS13_AES_256_GCM_SHA384"));
        let facts = TlsFacts::named(names, check, Some(certificate));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
        LinkView::new(&facts, bound.is_some(), bound, now)
    }

    #[test]
    fn links_can_be_read() {
        let bound = view(CertificateCheck::AuthorityAndName, Some(true), 20_800, CERTIFICATE);
        let unbound = view(CertificateCheck::Authority, Some(false), 30_000, CERTIFICATE);
        let login = view(CertificateCheck::Nothing, None, 20_800, b"\x30\x03\x02\x01\x00");
        let lines =
            [Some(&bound), Some(&unbound), Some(&login), None].map(|view| LinkView::lines(view).join("\n"));
        insta::assert_snapshot!("link_lines", lines.join("\n\n"));
        insta::assert_json_snapshot!("link_json", [&bound, &login]);
    }
}
