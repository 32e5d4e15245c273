//! The lines of the audit log: who asked for what, and what came of it.

use segcdc_model::Fault;
use serde_json::Value;

use super::{Actor, Control, Page, PageOf};
use crate::access::Right;
use crate::error::ControlError;
use crate::id::TenantId;
use crate::store::{AuditEntry, NewAudit, Work};

/// What came of something that went well.
const OK: &str = "ok";

/// A line that is being written.
#[derive(Debug)]
pub(super) struct Line {
    tenant: TenantId,
    actor: String,
    /// From which address.
    pub(super) address: String,
    action: &'static str,
    /// To which object.
    pub(super) object: String,
    /// How the object was, secrets masked.
    pub(super) before: Option<Value>,
    /// How it is now, secrets masked.
    pub(super) after: Option<Value>,
    /// It was written together with what it tells of.
    is_written: bool,
}

// === impl Line ===

impl Line {
    /// Somebody asks for something.
    pub(super) fn of(actor: &Actor, action: &'static str, object: impl Into<String>) -> Self {
        Line {
            tenant: actor.tenant.id,
            actor: actor.label(),
            address: actor.address.clone(),
            action,
            object: object.into(),
            before: None,
            after: None,
            is_written: false,
        }
    }

    /// Somebody who is not known yet asks for something.
    pub(super) fn of_name(tenant: TenantId, name: &str, address: &str, action: &'static str) -> Self {
        Line {
            tenant,
            actor: name.to_owned(),
            address: address.to_owned(),
            action,
            object: "session".to_owned(),
            before: None,
            after: None,
            is_written: false,
        }
    }

    /// As it is stored, with what came of it.
    fn entry(&self, outcome: &str) -> NewAudit {
        let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        NewAudit {
            actor: self.actor.clone(),
            address: self.address.clone(),
            action: self.action.to_owned(),
            object: self.object.clone(),
            before: text(&self.before),
            after: if outcome == OK { text(&self.after) } else { None },
            outcome: outcome.to_owned(),
        }
    }
}

// === impl Control ===

impl Control {
    /// Has a change come about, together with its line.
    ///
    /// # Errors
    /// The store's; then neither is there.
    pub(super) async fn commit(&self, mut work: Work, line: &mut Line) -> Result<(), ControlError> {
        work.audit(&line.entry(OK)).await?;
        work.commit().await?;
        line.is_written = true;
        Ok(())
    }

    /// Writes the line of what was asked for, unless it came about together with it, and hands its outcome on.
    ///
    /// # Errors
    /// The outcome's, or the store's when the line cannot be written: what nobody can trace is not reported as done.
    pub(super) async fn record<T>(
        &self,
        line: Line,
        outcome: Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        if line.is_written {
            return outcome;
        }
        let entry = line.entry(outcome.as_ref().map_or_else(|error| error.code(), |_| OK));
        let written = self.store.tenant(line.tenant).audit(&entry).await;
        match (outcome, written) {
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error.into()),
            (Ok(value), Ok(_)) => Ok(value),
        }
    }

    /// The tenant's audit log, oldest line first.
    ///
    /// # Errors
    /// `FORBIDDEN`, and the store's.
    pub async fn audit_log(&self, actor: &Actor, page: PageOf<'_>) -> Result<Page<AuditEntry>, ControlError> {
        actor.may(Right::Audit)?;
        let after = page.after.and_then(|after| after.parse().ok()).unwrap_or(0);
        let lines = self.of(actor).audit_log(after, page.rows()).await?;
        Ok(Page::of(lines, page, |line| line.seq.to_string()))
    }
}
