//! `segcdc status`

use std::time::Duration;

use segcdc_engine_kafka_connect::{ConnectConfig, Rest, status as connect_status};
use segcdc_engine_native::{EngineConfig, StatusReport, TableReport, status};
use serde::Serialize;

use crate::arguments::{Output, StatusArguments};
use crate::commands::{self, connect, slot};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::large_transaction;
use crate::paint::Paint;
use crate::phases;
use crate::report;
use crate::text::{self, Side};
use crate::worker;

/// Time between two reports of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);

/// The code of a pipeline that another engine runs.
const MISMATCH: &str = "ENGINE_MISMATCH";

/// Moves the cursor to the upper left corner and clears what is below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Shows where the pipeline stands, once or again and again.
///
/// # Errors
/// When there is no such pipeline, or the target cannot be asked.
pub(crate) async fn run(arguments: StatusArguments, console: Console) -> Result<Exit, CliError> {
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    let draws = console.data_paint == Paint::Colour;
    let mut connect = worker::existing(&arguments.worker, &config).await?;
    let mut looked_again = false;
    loop {
        let text = match look(connect.as_ref(), &config, arguments.watch, console).await {
            Ok(text) => text,
            // It was made, or handed over, since it was looked for.
            Err(error) if error.code == MISMATCH && !looked_again => {
                connect = worker::existing(&arguments.worker, &config).await?;
                looked_again = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        looked_again = false;
        if !arguments.watch {
            console.data(&text);
            return Ok(Exit::Ok);
        }
        let clear = if draws && console.output != Output::Json { CLEAR } else { "" };
        console.data(&format!("{clear}{text}"));
        tokio::time::sleep(PERIOD).await;
    }
}

/// One look at a pipeline, of connectors or of the native engine.
async fn look(
    connect: Option<&(ConnectConfig, Rest)>,
    config: &EngineConfig,
    watch: bool,
    console: Console,
) -> Result<String, CliError> {
    let Some((config, rest)) = connect else {
        let report = status(config).await?;
        let table = |wide| render(&report, wide, console.data_paint);
        return Ok(shown(&report, &report.tables, watch, console, table));
    };
    let report = connect_status(config, rest).await?;
    Ok(shown(&report, &report.tables, watch, console, |_| connect::render(&report, console.data_paint)))
}

/// A report in the form that was asked for; `table` renders it for people, wide or not.
fn shown(
    report: &impl Serialize,
    tables: &[TableReport],
    watch: bool,
    console: Console,
    table: impl FnOnce(bool) -> String,
) -> String {
    match console.output {
        Output::Json if watch => serde_json::to_string(report).unwrap_or_default(),
        Output::Json => serde_json::to_string_pretty(report).unwrap_or_default(),
        Output::Name => names(tables),
        Output::Table => table(false),
        Output::Wide => table(true),
    }
}

/// The source tables, one a line.
fn names(tables: &[TableReport]) -> String {
    tables.iter().map(|table| table.source.to_string()).collect::<Vec<_>>().join("\n")
}

/// The report for people.
pub(crate) fn render(report: &StatusReport, wide: bool, paint: Paint) -> String {
    let mut lines = vec![
        format!("pipeline  {}", paint.bold(&report.pipeline)),
        format!(
            "state     {}, {}",
            report::state(report.state, report.health, paint),
            phases::pipeline(report.phase)
        ),
        format!("lag       {}", lag(report)),
        format!("applied   {} of {}", report.applied_lsn, position(report.source_lsn)),
    ];
    if let Some(large) = &report.large_transaction {
        lines.push(format!("large     transaction {}", large_transaction::words(large)));
    }
    if let Some(slot) = &report.slot {
        let status = slot.wal_status.as_deref().unwrap_or("gone");
        lines.push(format!(
            "slot      {}: {status}, {} held back",
            slot.name,
            text::bytes(slot.retained_bytes)
        ));
        lines.extend(slot::forecast(&slot.forecast).iter().map(|line| line.replacen("  ", "", 1)));
    }
    if wide {
        lines.push(format!("published {}", report.publication));
        lines.push(format!("owner     {}, epoch {}, batch {}", report.owner, report.epoch, report.batch_seq));
    }
    lines.push(String::new());
    lines.push(tables(report, wide));
    if report.tables.iter().any(|table| !table.policy_uses.is_empty()) {
        lines.push(String::new());
        lines.push(policies(report));
    }
    if !report.schema_changes.is_empty() {
        lines.push(String::new());
        lines.push(changes(report, wide));
    }
    lines.extend(report::notes(&report.notes, paint));
    lines.join("\n")
}

/// The last changes of tables of the source, and what was done about them.
fn changes(report: &StatusReport, wide: bool) -> String {
    let mut columns = vec![
        ("CHANGED AT", Side::Left),
        ("TABLE", Side::Left),
        ("KIND", Side::Left),
        ("OUTCOME", Side::Left),
        ("CHANGE", Side::Left),
    ];
    if wide {
        columns.push(("T-SQL", Side::Left));
    }
    let rows = report.schema_changes.iter().map(|change| {
        let mut row = vec![
            change.lsn.to_string(),
            change.source.to_string(),
            change.kind.clone(),
            change.outcome.clone(),
            change.what.clone(),
        ];
        if wide {
            row.push(change.statements.as_deref().unwrap_or_default().replace(";\n", "; "));
        }
        row
    });
    text::table(&columns, rows.collect())
}

fn tables(report: &StatusReport, wide: bool) -> String {
    let mut columns = vec![
        ("TABLE", Side::Left),
        ("TARGET", Side::Left),
        ("STATE", Side::Left),
        ("ROWS COPIED", Side::Right),
    ];
    if wide {
        columns.push(("AS OF", Side::Left));
    }
    columns.push(("REASON", Side::Left));
    let rows = report.tables.iter().map(|table| {
        let mut row = vec![
            table.source.to_string(),
            table.target.to_string(),
            phases::table(table.phase).to_owned(),
            text::count(table.rows_copied),
        ];
        if wide {
            row.push(table.sync_lsn.to_string());
        }
        row.push(
            table.error.as_ref().map(|note| format!("{}: {}", note.code, note.detail)).unwrap_or_default(),
        );
        row
    });
    text::table(&columns, rows.collect())
}

/// How often policies decided what became of values.
fn policies(report: &StatusReport) -> String {
    let columns =
        [("TABLE", Side::Left), ("COLUMN", Side::Left), ("POLICY", Side::Left), ("USES", Side::Right)];
    let rows = report.tables.iter().flat_map(|table| {
        table.policy_uses.iter().map(|used| {
            vec![table.source.to_string(), used.column.clone(), used.policy.clone(), text::count(used.uses)]
        })
    });
    text::table(&columns, rows.collect())
}

fn lag(report: &StatusReport) -> String {
    let bytes =
        report.lag_bytes.map_or("unknown".to_owned(), |bytes| format!("{} of WAL", text::bytes(bytes)));
    match report.lag_ms {
        Some(ms) => format!("{bytes}, {} behind", text::duration(Duration::from_millis(ms))),
        None => bytes,
    }
}

fn position(lsn: Option<segcdc_model::Lsn>) -> String {
    lsn.map_or("unknown (the source cannot be asked)".to_owned(), |lsn| lsn.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::{
        Health, LargeReport, PipelineStateWord, PolicyUseReport, SchemaChangeReport, SlotReport, StatusNote,
        WalForecast,
    };
    use segcdc_model::{Lsn, Phase, QualifiedName, TablePhase};

    fn report() -> StatusReport {
        let table = |name: &str, phase, error| TableReport {
            source: QualifiedName::new("public", name),
            target: QualifiedName::new("dbo", name),
            phase,
            rows_copied: 1_234_567,
            estimated_rows: 1_234_000,
            sync_lsn: Lsn::new(0x100_0000),
            error,
            set_aside: 0,
            policy_uses: Vec::new(),
        };
        let note = |code: &str, detail: &str, hint: &str| StatusNote {
            code: code.to_owned(),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        };
        StatusReport {
            pipeline: "shop".to_owned(),
            state: PipelineStateWord::Degraded,
            phase: Phase::Streaming,
            health: Health::Warn,
            owner: "host-1 pid 7".to_owned(),
            last_sign_ms: 800,
            epoch: 3,
            batch_seq: 991,
            applied_lsn: Lsn::new(0x150_0000),
            source_lsn: Some(Lsn::new(0x151_0000)),
            lag_bytes: Some(65_536),
            lag_ms: Some(12),
            transactions_applied: 12_345,
            changes_applied: 67_890,
            large_transaction: None,
            slot: Some(SlotReport {
                name: "segcdc_shop_g1".to_owned(),
                ours: true,
                exists: true,
                active_pid: Some(1),
                confirmed_flush_lsn: None,
                restart_lsn: None,
                wal_status: Some("reserved".to_owned()),
                invalidation: None,
                retained_bytes: 65_536,
                safe_wal_bytes: None,
                forecast: WalForecast {
                    written_per_second: Some(3 << 20),
                    growth_per_second: Some(0),
                    limit_bytes: Some(8 << 30),
                    outage_seconds: Some(2730),
                    ..WalForecast::default()
                },
                alerts: Vec::new(),
            }),
            publication: "segcdc_shop".to_owned(),
            tables: vec![
                table("customers", TablePhase::Streaming, None),
                table("orders", TablePhase::Quarantined, Some(note("VALUE_TOO_LONG", "column \"note\"", ""))),
            ],
            schema_changes: vec![SchemaChangeReport {
                source: QualifiedName::new("public", "customers"),
                lsn: Lsn::new(0x14F_0000),
                kind: "add-column".to_owned(),
                outcome: "applied".to_owned(),
                what: "column \"note\" was added as nvarchar(max); rows that were there have NULL".to_owned(),
                statements: Some("ALTER TABLE [dbo].[customers] ADD [note] nvarchar(max) NULL".to_owned()),
                age_ms: 60_000,
            }],
            notes: vec![note("TABLE_QUARANTINED", "1 table is quarantined", "see its reason")],
        }
    }

    #[test]
    fn a_status_can_be_read_at_a_glance() {
        insta::assert_snapshot!("status_table", render(&report(), false, Paint::Plain));
        insta::assert_snapshot!("status_wide", render(&report(), true, Paint::Plain));
        assert_eq!(names(&report().tables), "public.customers\npublic.orders");
    }

    #[test]
    fn a_large_transaction_is_shown_before_its_commit() {
        let mut report = report();
        let large = LargeReport {
            xid: 741,
            is_complete: true,
            changes: 9_000_000,
            disk_bytes: 3 << 30,
            applied: 2_000_000,
            part: 4,
            parts: 17,
            elapsed_ms: 72_000,
            age_ms: 400,
            committed: None,
        };
        report.large_transaction = Some(large);
        let shown = render(&report, false, Paint::Plain);
        let line = "large     transaction 741: applying part 4 of 17, 2,000,000 of 9,000,000 changes, 3.0 GiB on disk, for \
                    1m 12s, not committed yet";
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
        report.large_transaction = Some(LargeReport { committed: Some(1_500_000), ..large });
        let shown = render(&report, false, Paint::Plain);
        assert!(shown.contains("3.0 GiB on disk, for 1m 12s, 1,500,000 committed"), "{shown}");
        report.large_transaction = Some(LargeReport { is_complete: false, part: 0, parts: 0, ..large });
        let shown = render(&report, false, Paint::Plain);
        assert!(
            shown.contains("741: receiving, 9,000,000 changes so far, 3.0 GiB on disk, for 1m 12s"),
            "{shown}"
        );
    }

    #[test]
    fn uses_of_policies_are_shown() {
        let mut report = report();
        let used = |column: &str, policy: &str, uses| PolicyUseReport {
            column: column.to_owned(),
            policy: policy.to_owned(),
            uses,
        };
        if let Some(table) = report.tables.first_mut() {
            table.policy_uses = vec![used("born", "clamp", 12_345), used("score", "null", 1)];
            table.set_aside = 2;
        }
        insta::assert_snapshot!("status_policies", render(&report, false, Paint::Plain));
        let json = serde_json::to_value(&report.tables[0]).unwrap();
        assert_eq!(
            json["policy_uses"][0],
            serde_json::json!({"column": "born", "policy": "clamp", "uses": 12_345})
        );
        assert_eq!(json["set_aside"], 2);
    }

    #[test]
    fn a_source_that_cannot_be_asked_is_unknown() {
        let report = StatusReport {
            source_lsn: None,
            lag_bytes: None,
            lag_ms: None,
            slot: None,
            notes: Vec::new(),
            schema_changes: Vec::new(),
            tables: Vec::new(),
            ..report()
        };
        insta::assert_snapshot!("status_unknown", render(&report, false, Paint::Plain));
    }
}
