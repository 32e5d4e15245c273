//! Whether a named slot can be streamed from, and whether the name of a new one is free.

use segcdc_model::{Finding, Side};

use super::{PreflightRequest, Purpose};
use crate::error::SourceError;
use crate::quote;
use crate::session::Session;
use crate::slot::{self, Loss, SlotState};

const CHECK: &str = "pg.slot";

/// The output plugin that we speak with.
const PLUGIN: &str = "pgoutput";

/// Looks the slot up and judges it.
pub(super) async fn check(
    session: &Session,
    request: &PreflightRequest,
    database: &str,
) -> Result<Option<Finding>, SourceError> {
    let name = request.slot.as_deref().unwrap_or(&request.slot_to_create);
    if request.slot.is_none() && name.is_empty() {
        return Ok(None);
    }
    if let Err(SourceError::SlotName { .. }) = quote::slot_name(name) {
        let detail = format!("\"{name}\" is not a slot name");
        return Ok(Some(Finding::failure(CHECK, Side::Source, "SLOT_NAME", detail).hint(
            "a slot name has 1 to 63 characters, all of them a-z, 0-9 or _, and does not begin with pg_",
        )));
    }
    let found = slot::inspect(session, name).await?;
    match (&request.slot, found) {
        (Some(_), Some(found)) => judge(&found, database, request.purpose).map(Some),
        (Some(_), None) => missing(name, request.purpose).map(Some),
        (None, Some(found)) => name_in_use(&found).map(Some),
        (None, None) => Ok(Some(Finding::ok(CHECK, Side::Source, format!("the slot name {name} is free")))),
    }
}

fn missing(name: &str, purpose: Purpose) -> Result<Finding, SourceError> {
    let detail = format!("there is no slot named {name}");
    let finding = Finding::failure(CHECK, Side::Source, "SLOT_MISSING", detail);
    Ok(match purpose {
        Purpose::NewPipeline => {
            finding.hint("make it, or leave --slot out to have one made").fix(create(name)?)
        }
        Purpose::KnownPipeline => finding.hint(
            "it was dropped or lost in a failover, and with it what was written since; \
             the tables have to be copied again with a new slot",
        ),
    })
}

fn name_in_use(found: &SlotState) -> Result<Finding, SourceError> {
    let name = &found.name;
    let detail = format!("there is already a slot named {name}{}", consumer(found));
    Ok(Finding::failure(CHECK, Side::Source, "SLOT_EXISTS", detail)
        .hint(format!(
            "use it with --slot {name}, give the pipeline another name, or drop it if nobody needs it"
        ))
        .fix(drop(name)?))
}

fn judge(found: &SlotState, database: &str, purpose: Purpose) -> Result<Finding, SourceError> {
    let name = &found.name;
    let again = |code, detail: String, hint: &str| -> Result<Finding, SourceError> {
        let finding = Finding::failure(CHECK, Side::Source, code, detail).hint(hint);
        match purpose {
            Purpose::NewPipeline => Ok(finding.fix(drop(name)?).fix(create(name)?)),
            // A new slot under an old checkpoint would only look as if nothing had been lost.
            Purpose::KnownPipeline => Ok(finding),
        }
    };
    if found.plugin.as_deref() != Some(PLUGIN) {
        let kind =
            found.plugin.as_ref().map_or("a physical slot".to_owned(), |plugin| format!("of {plugin}"));
        let detail = format!("the slot {name} is {kind}, needed is one of {PLUGIN}");
        return again("SLOT_WRONG_PLUGIN", detail, "name another slot, or make it again if nobody needs it");
    }
    if found.database.as_deref() != Some(database) {
        let other = found.database.as_deref().unwrap_or_default();
        let detail = format!("the slot {name} belongs to the database {other}, not {database}");
        return again(
            "SLOT_WRONG_DATABASE",
            detail,
            "name another slot; this one can be dropped in its database",
        );
    }
    if found.is_lost() {
        let (reason, loss) = (found.reason(), Loss::by(found.reason()));
        let detail = format!("the slot {name} is lost: {} ({reason})", loss.meaning);
        let hint = format!("the tables have to be copied again with a new slot; {} before that", loss.advice);
        return again("SLOT_LOST", detail, &hint);
    }
    if found.temporary {
        let detail = format!("the slot {name} is temporary: it ends with the session that made it");
        return Ok(Finding::failure(CHECK, Side::Source, "SLOT_TEMPORARY", detail)
            .hint("name a permanent slot, or leave --slot out to have one made"));
    }
    if found.wal_status.as_deref() == Some("unreserved") {
        let detail = format!(
            "the slot {name} keeps more WAL than max_slot_wal_keep_size allows: the next checkpoint may end it"
        );
        return Ok(Finding::warning(CHECK, Side::Source, "SLOT_AT_RISK", detail)
            .hint("start the pipeline at once, or raise the limit")
            .fix("ALTER SYSTEM SET max_slot_wal_keep_size = -1")
            .fix("SELECT pg_reload_conf()"));
    }
    if let Some(pid) = found.active_pid {
        let detail = format!("the slot {name} is being consumed by the process {pid}");
        return Ok(match purpose {
            Purpose::NewPipeline => Finding::failure(CHECK, Side::Source, "SLOT_IN_USE", detail)
                .hint("stop its consumer, or end its session if it was forgotten")
                .fix(format!("SELECT pg_terminate_backend({pid})")),
            // Most likely by the pipeline itself: it runs, or it has crashed and the server has not noticed yet.
            Purpose::KnownPipeline => Finding::warning(CHECK, Side::Source, "SLOT_IN_USE", detail)
                .hint("the pipeline is running, or it has ended and the server frees the slot in a while"),
        });
    }
    Ok(Finding::ok(CHECK, Side::Source, format!("the slot {name} can be used")))
}

/// Who consumes it, for a message.
fn consumer(found: &SlotState) -> String {
    found.active_pid.map_or(String::new(), |pid| format!(", consumed by the process {pid}"))
}

fn create(name: &str) -> Result<String, SourceError> {
    Ok(format!("SELECT pg_create_logical_replication_slot({}, '{PLUGIN}')", quote::literal(name)?))
}

fn drop(name: &str) -> Result<String, SourceError> {
    Ok(format!("SELECT pg_drop_replication_slot({})", quote::literal(name)?))
}
