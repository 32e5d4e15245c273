//! `segcdc verify`

use std::time::{Duration, Instant};

use segcdc_engine_native::verify::{Difference, DifferenceKind, VerifyStage};
use segcdc_engine_native::{
    RepairMode, RepairReport, TableVerdict, VerifyBy, VerifyEvent, VerifyOptions, VerifyProgress,
    VerifyReport, verify,
};
use serde::Serialize;

use crate::arguments::{Output, VerifyArguments};
use crate::commands;
use crate::commands::verify::progress_file::ProgressFile;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::settings;
use crate::text::{self, Side};

mod progress_file;

/// Time between two lines of progress.
const PERIOD: Duration = Duration::from_secs(2);

/// Characters of a value that are shown; all of it is in JSON.
const MAX_VALUE: usize = 60;

/// The report in JSON.
#[derive(Debug, Serialize)]
struct Json<'a> {
    equal: bool,
    differences: u64,
    undecided: u64,
    #[serde(flatten)]
    report: &'a VerifyReport,
}

/// Compares source and target, and mends what differs if that is asked for.
///
/// # Errors
/// When there is no such pipeline, or a server cannot be asked; `CONFIRMATION_REQUIRED`; `REPAIR_BY_COUNT`; those of
/// [`ProgressFile::open`].
pub(crate) async fn run(arguments: VerifyArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("verify", &[Output::Table, Output::Wide, Output::Json])?;
    let repair = match (arguments.repair, arguments.dry_run) {
        (false, _) => RepairMode::Report,
        (true, true) => RepairMode::DryRun,
        (true, false) => RepairMode::Write,
    };
    let asks = repair == RepairMode::Write && !arguments.yes;
    if asks {
        console.confirmable(false, "verify --repair")?;
    }
    let by = VerifyBy::from(arguments.by);
    if by == VerifyBy::Count && repair != RepairMode::Report {
        let hint = "leave --by count out: rows are found by comparing them";
        return Err(CliError::usage(
            "REPAIR_BY_COUNT",
            "numbers of rows do not say which rows to repair",
            hint,
        ));
    }
    let patterns = settings::patterns(&arguments.tables)?;
    let (endpoints, mut config) = commands::pipeline(&arguments.pipeline, console)?;
    config.mask_salt = commands::salt(&arguments.salt)?;
    let memory_bytes = usize::try_from(u64::from(arguments.memory) << 20).unwrap_or(usize::MAX);
    let question =
        format!("Write rows that differ into the target of {} as the source has them?", endpoints.name);
    if asks && !console.ask(&question) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let (mut file, saved) = match &arguments.progress_file {
        Some(path) => {
            let (file, saved) = ProgressFile::open(path, &endpoints.name, by)?;
            (Some(file), saved)
        }
        None => (None, None),
    };
    if saved.is_some() {
        console.talk("going on with the comparison that was interrupted");
    }
    let options = VerifyOptions {
        patterns,
        limit: arguments.limit,
        memory_bytes,
        repair,
        by,
        jobs: arguments.jobs.into(),
        range_rows: arguments.range_rows,
        throttle: arguments.throttle,
        saved,
    };
    let mut last: Option<Instant> = None;
    let mut on_event = |event: VerifyEvent<'_>| match event {
        VerifyEvent::Progress(progress) if last.is_none_or(|last| last.elapsed() >= PERIOD) => {
            last = Some(Instant::now());
            console.talk(&progress_line(progress));
        }
        VerifyEvent::Progress(_) => {}
        VerifyEvent::Saved(saved) => {
            let trouble = file.as_mut().and_then(|file| file.keep(saved));
            trouble.into_iter().for_each(|trouble| console.talk(&trouble));
        }
    };
    let report = verify(&config, &options, &mut on_event).await?;
    if let Some(file) = file {
        file.remove();
    }
    if console.is_json() {
        let (equal, differences, undecided) = (report.is_equal(), report.differences(), report.undecided());
        console.json(&Json { equal, differences, undecided, report: &report });
    } else {
        console.data(&render(&report, console.output == Output::Wide, console.data_paint));
    }
    Ok(exit(&report))
}

/// What the report means for the exit: what could not be compared or decided is neither equal nor different.
fn exit(report: &VerifyReport) -> Exit {
    if report.differences() > 0 {
        Exit::Differences
    } else if report.is_equal() {
        Exit::Ok
    } else {
        Exit::Runtime
    }
}

/// One line of progress.
fn progress_line(progress: &VerifyProgress) -> String {
    let stage = match progress.stage {
        VerifyStage::Waiting => return "waiting until the target has applied what the source had".to_owned(),
        VerifyStage::Source => "source rows",
        VerifyStage::Target => "target rows",
        VerifyStage::Window => "candidates looked at again",
        VerifyStage::Repair => "rows to repair",
    };
    let table = progress.table.as_ref().map(ToString::to_string).unwrap_or_default();
    let (number, tables) = (progress.number, progress.tables);
    format!(
        "[{number}/{tables}] {table}: {} of about {} {stage}",
        text::count(progress.rows),
        text::count(progress.expected_rows.max(progress.rows))
    )
}

/// The report for people.
fn render(report: &VerifyReport, wide: bool, paint: Paint) -> String {
    let mut lines = Vec::new();
    let is_compared = report.tables.iter().any(|table| table.not_compared.is_none());
    if !report.running && is_compared {
        lines.push(format!(
            "{} the pipeline does not run: compared as the target was at {}; the source is at {}, and what it \
             committed in between shows as differences",
            paint.yellow("note"),
            report.applied_lsn,
            report.source_lsn
        ));
    }
    lines.push(tables(report, wide));
    for table in &report.tables {
        lines.extend(table.repair.iter().map(|repair| repair_line(table, repair)));
        if report.by == VerifyBy::Rows {
            lines.extend(differences(table, paint));
        }
    }
    let left_out = report.tables.iter().filter(|table| table.not_compared.is_some()).count();
    if left_out > 0 {
        lines.push(format!("{} not compared", text::plural(left_out, "table")));
    }
    if report.undecided() > 0 {
        lines.push(paint.yellow(&format!("not decided: {}", text::count(report.undecided()))));
    }
    let number = report.differences();
    let what = match report.by {
        VerifyBy::Rows => "differences",
        VerifyBy::Count => "differences in numbers of rows",
    };
    let line = format!("{what}: {}", text::count(number));
    lines.push(if report.is_equal() { paint.green(&line) } else { paint.red(&line) });
    lines.join("\n")
}

fn tables(report: &VerifyReport, wide: bool) -> String {
    let mut columns = vec![
        ("TABLE", Side::Left),
        ("TARGET", Side::Left),
        ("SOURCE ROWS", Side::Right),
        ("TARGET ROWS", Side::Right),
        ("MISSING", Side::Right),
        ("EXTRA", Side::Right),
        ("DIFFERENT", Side::Right),
        ("UNDECIDED", Side::Right),
    ];
    if wide {
        columns.extend([("SOURCE CHECKSUM", Side::Left), ("TARGET CHECKSUM", Side::Left)]);
    }
    columns.push(("RESULT", Side::Left));
    let rows = report.tables.iter().map(|table| {
        let counts = [
            table.source_rows,
            table.target_rows,
            table.missing,
            table.extra,
            table.different,
            table.undecided(),
        ];
        let compared = table.not_compared.is_none();
        let mut row = vec![table.source.to_string(), table.target.to_string()];
        row.extend(counts.map(|number| if compared { text::count(number) } else { "-".to_owned() }));
        if wide {
            row.extend([table.source_checksum.clone(), table.target_checksum.clone()]);
        }
        row.push(result(table, report.by));
        row
    });
    text::table(&columns, rows.collect())
}

fn result(table: &TableVerdict, by: VerifyBy) -> String {
    match &table.not_compared {
        None if table.is_equal() && by == VerifyBy::Count => "as many rows".to_owned(),
        Some(reason) => format!("not compared: {} [{}]", reason.detail, reason.code),
        None if table.is_equal() => format!("equal{}", exceptions(table)),
        None if table.differences_found() == 0 => "not decided".to_owned(),
        None => "DIFFERENT".to_owned(),
    }
}

/// What is equal only by the policies for values, or not compared because of them.
fn exceptions(table: &TableVerdict) -> String {
    let plural = |number: u64, word| text::plural(usize::try_from(number).unwrap_or(usize::MAX), word);
    let mut text = String::new();
    if table.replaced > 0 {
        text.push_str(&format!(", {} replaced by policy", plural(table.replaced, "value")));
    }
    if table.set_aside > 0 {
        text.push_str(&format!(", {} set aside", plural(table.set_aside, "row")));
    }
    text
}

/// What was done about the differences of a table.
fn repair_line(table: &TableVerdict, repair: &RepairReport) -> String {
    let rows = &repair.rows;
    let [inserted, updated, deleted] = [rows.inserted, rows.updated, rows.deleted].map(text::count);
    let (would, source) = (if repair.dry_run { "would be " } else { "" }, &table.source);
    let mut line =
        format!("{source}: rows {would}repaired: {inserted} inserted, {updated} updated, {deleted} deleted");
    if rows.left > 0 {
        line.push_str(&format!(
            "; {} left, which the source changes or the target cannot hold",
            text::count(rows.left)
        ));
    }
    if let Some(reason) = &repair.stopped {
        line.push_str(&format!("; not repaired: {} [{}]", reason.detail, reason.code));
    }
    line
}

/// The listed differences of a table.
fn differences(table: &TableVerdict, paint: Paint) -> Vec<String> {
    if table.is_equal() {
        return Vec::new();
    }
    let mut lines = vec![paint.bold(&table.source.to_string())];
    lines.extend(table.differences.iter().map(|difference| format!("  {}", difference_line(difference))));
    let found = table.differences_found();
    let listed: u64 = table.differences.iter().map(|difference| difference.rows).sum();
    if found > listed {
        lines.push(format!("  and {} more (--limit shows more)", text::count(found - listed)));
    }
    if table.unstable > 0 {
        let rows = text::plural(usize::try_from(table.unstable).unwrap_or(usize::MAX), "row");
        lines.push(format!("  {rows} changed each time it was looked at: compare again when it is quieter"));
    }
    if table.unchecked > 0 {
        let rows = text::plural(usize::try_from(table.unchecked).unwrap_or(usize::MAX), "candidate");
        lines.push(format!("  {rows} beyond those were not looked at again: copy the table again"));
    }
    lines
}

fn difference_line(difference: &Difference) -> String {
    let fields = difference.key.iter().map(|field| match &field.value {
        Some(value) => format!("{}={}", field.column, shown(value)),
        None => format!("{} is NULL", field.column),
    });
    let key = fields.collect::<Vec<_>>().join(", ");
    let rows = if difference.rows > 1 { format!(" ({} rows)", difference.rows) } else { String::new() };
    match difference.kind {
        DifferenceKind::MissingInTarget => format!("{key}: missing in target{rows}"),
        DifferenceKind::ExtraInTarget => format!("{key}: extra in target{rows}"),
        DifferenceKind::Different => format!("{key}: different (columns: {})", difference.columns.join(", ")),
    }
}

/// A value on one line, without what would move the cursor.
fn shown(value: &str) -> String {
    let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_VALUE).collect();
    if plain.chars().count() < value.chars().count() { format!("{plain}...") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::RepairedRows;
    use segcdc_engine_native::verify::{KeyField, NotCompared};
    use segcdc_model::{Lsn, QualifiedName};

    fn table(name: &str) -> TableVerdict {
        TableVerdict {
            source: QualifiedName::new("public", name),
            target: QualifiedName::new("dbo", name),
            not_compared: None,
            source_rows: 1_000,
            target_rows: 1_000,
            source_checksum: "00000000000000000000000000000001".to_owned(),
            target_checksum: "00000000000000000000000000000001".to_owned(),
            missing: 0,
            extra: 0,
            different: 0,
            unstable: 0,
            unchecked: 0,
            replaced: 0,
            set_aside: 0,
            differences: Vec::new(),
            repair: None,
            ranges: Vec::new(),
        }
    }

    fn difference(value: Option<&str>, kind: DifferenceKind, columns: &[&str]) -> Difference {
        Difference {
            key: vec![KeyField { column: "id".to_owned(), value: value.map(str::to_owned) }],
            kind,
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: 1,
        }
    }

    fn report(tables: Vec<TableVerdict>, running: bool) -> VerifyReport {
        let (applied_lsn, source_lsn) = (Lsn::new(0x100), Lsn::new(0x200));
        VerifyReport {
            pipeline: "shop".to_owned(),
            by: VerifyBy::Rows,
            running,
            applied_lsn,
            source_lsn,
            tables,
        }
    }

    #[test]
    fn what_is_not_decided_is_neither_equal_nor_different() {
        let check = |table, expected| assert_eq!(exit(&report(vec![table], true)), expected);
        check(table("t"), Exit::Ok);
        check(TableVerdict { extra: 1, unstable: 1, ..table("t") }, Exit::Differences);
        check(TableVerdict { unstable: 1, ..table("t") }, Exit::Runtime);
        let not_compared = NotCompared { code: "QUARANTINED".to_owned(), detail: String::new() };
        check(TableVerdict { not_compared: Some(not_compared), ..table("t") }, Exit::Runtime);
        let wanted = NotCompared { code: "APPEND_ONLY".to_owned(), detail: String::new() };
        check(TableVerdict { not_compared: Some(wanted), ..table("t") }, Exit::Ok);
    }

    #[test]
    fn a_pipeline_at_rest_that_was_not_compared_explains_no_differences() {
        let reason = NotCompared { code: "COPYING".to_owned(), detail: "its copy is not over".to_owned() };
        let audit = TableVerdict { not_compared: Some(reason), ..table("audit") };
        let rendered = |tables| render(&report(tables, false), false, Paint::Plain);
        assert!(!rendered(vec![audit.clone()]).contains("does not run"));
        assert!(rendered(vec![audit, table("orders")]).contains("does not run"));
    }

    #[test]
    fn equal_tables_are_said_to_be_equal() {
        let prices = TableVerdict { replaced: 3, set_aside: 1, ..table("prices") };
        let report = report(vec![table("customers"), table("orders"), prices], true);
        insta::assert_snapshot!("verify_equal", render(&report, true, Paint::Plain));
    }

    #[test]
    fn numbers_of_rows_say_nothing_about_rows() {
        let orders = TableVerdict { target_rows: 990, missing: 10, ..table("orders") };
        let report = report(vec![table("customers"), orders], true);
        let report = VerifyReport { by: VerifyBy::Count, ..report };
        insta::assert_snapshot!("verify_count", render(&report, false, Paint::Plain));
    }

    #[test]
    fn a_repair_tells_what_it_wrote() {
        let rows = RepairedRows { inserted: 1_200, updated: 2, deleted: 3, left: 1, letters: 0 };
        let done = RepairReport { rows, ..RepairReport::default() };
        let reason =
            NotCompared { code: "REPAIR_WITHOUT_KEY".to_owned(), detail: "it has no key".to_owned() };
        let stopped = RepairReport { stopped: Some(reason), ..RepairReport::default() };
        let planned = RepairReport { dry_run: true, ..done.clone() };
        let tables = [("orders", done), ("bag", stopped), ("planned", planned)];
        let tables = tables.map(|(name, repair)| TableVerdict { repair: Some(repair), ..table(name) });
        insta::assert_snapshot!("verify_repaired", render(&report(tables.into(), true), false, Paint::Plain));
    }

    #[test]
    fn differences_are_named_by_key() {
        let orders = TableVerdict {
            missing: 1,
            extra: 30,
            different: 1,
            unstable: 2,
            differences: vec![
                difference(Some("7"), DifferenceKind::MissingInTarget, &[]),
                difference(Some("a\u{1b}[2Jb"), DifferenceKind::ExtraInTarget, &[]),
                difference(Some(&"x".repeat(70)), DifferenceKind::Different, &["amount", "note"]),
                difference(None, DifferenceKind::ExtraInTarget, &[]),
            ],
            ..table("orders")
        };
        let reason = NotCompared {
            code: "QUARANTINED".to_owned(),
            detail: "it is quarantined because of VALUE_TOO_LONG".to_owned(),
        };
        let audit = TableVerdict { not_compared: Some(reason), ..table("audit") };
        let report = report(vec![audit, orders], false);
        assert_eq!((report.differences(), report.undecided()), (32, 2));
        insta::assert_snapshot!("verify_different", render(&report, false, Paint::Plain));
    }
}
