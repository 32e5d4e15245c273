//! The audit log: append-only, a chain of hashes a tenant.

use segcdc_model::hex;
use sha2::{Digest, Sha256};

use super::work::{Work, execute, within};
use super::{StoreError, TenantStore, on};
use crate::clock::Millis;

/// Something that somebody did or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// Who: a person's or a token's name.
    pub actor: String,
    /// From which address.
    pub address: String,
    /// What: `pipeline.start`.
    pub action: String,
    /// To which object: `pipeline/<id>`.
    pub object: String,
    /// How it was before, as JSON, secrets masked.
    pub before: Option<String>,
    /// How it is now, as JSON, secrets masked.
    pub after: Option<String>,
    /// `ok`, or the code of the error that it got.
    pub outcome: String,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number in the tenant, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: Millis,
    /// What.
    pub what: NewAudit,
    /// SHA-256 over this line and the hash of the one before, hexadecimal.
    pub hash: String,
}

/// A row, in the order of the SELECTs below.
type Row = (i64, i64, String, String, String, String, Option<String>, Option<String>, String, String);

// === impl Work ===

impl Work {
    /// Appends a line that tells of this work.
    pub async fn audit(&mut self, what: &NewAudit) -> Result<AuditEntry, StoreError> {
        let before: Option<(i64, String)> = within!(self, |connection| sqlx::query_as(
            "SELECT seq, hash FROM audit WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1"
        )
        .bind(self.tenant.text())
        .fetch_optional(connection)
        .await)
        .map_err(StoreError::of)?;
        let (seq, previous) = before.unwrap_or_default();
        let (seq, at) = (seq + 1, Millis::now());
        let entry = AuditEntry { seq, at, what: what.clone(), hash: hash(&previous, seq, at, what) };
        execute!(
            self,
            "INSERT INTO audit (tenant_id, seq, at, actor, address, action, object, before, after, outcome, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            self.tenant.text(),
            seq,
            at.0,
            &what.actor,
            &what.address,
            &what.action,
            &what.object,
            &what.before,
            &what.after,
            &what.outcome,
            &entry.hash,
        )?;
        Ok(entry)
    }
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// Appends a line that tells of no change: of what was asked or refused.
    pub async fn audit(&self, what: &NewAudit) -> Result<AuditEntry, StoreError> {
        let mut work = self.begin().await?;
        let entry = work.audit(what).await?;
        work.commit().await?;
        Ok(entry)
    }

    /// Lines behind number `after`, oldest first, at most `limit`.
    pub async fn audit_log(&self, after: i64, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(
            "SELECT seq, at, actor, address, action, object, before, after, outcome, hash
             FROM audit WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
        )
        .bind(self.tenant.text())
        .bind(after)
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        Ok(rows.into_iter().map(AuditEntry::from_row).collect())
    }
}

// === impl AuditEntry ===

impl AuditEntry {
    fn from_row(row: Row) -> Self {
        let (seq, at, actor, address, action, object, before, after, outcome, hash) = row;
        let what = NewAudit { actor, address, action, object, before, after, outcome };
        AuditEntry { seq, at: Millis(at), what, hash }
    }

    /// Whether it is what was written behind the line with the hash `previous` (empty for the first).
    pub fn follows(&self, previous: &str) -> bool {
        self.hash == hash(previous, self.seq, self.at, &self.what)
    }
}

/// Over every part with its length, so that no two lines read the same.
fn hash(previous: &str, seq: i64, at: Millis, what: &NewAudit) -> String {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    part(previous.as_bytes());
    part(&seq.to_be_bytes());
    part(&at.0.to_be_bytes());
    for text in [&what.actor, &what.address, &what.action, &what.object, &what.outcome] {
        part(text.as_bytes());
    }
    for text in [&what.before, &what.after] {
        part(&[u8::from(text.is_some())]);
        part(text.as_deref().unwrap_or_default().as_bytes());
    }
    hex(&digest.finalize())
}
