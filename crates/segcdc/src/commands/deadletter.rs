//! `segcdc deadletter`

use segcdc_engine_native::dead_letters::{discard, list, show};
use segcdc_engine_native::{DeadLetterList, DeadLetterQuery, DeadLetterReport, ReplayReport, replay};
use serde_json::Value;

use crate::arguments::{
    DeadletterCommand, DeadletterDiscardArguments, DeadletterListArguments, DeadletterReplayArguments,
    DeadletterShowArguments, Output,
};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::settings;
use crate::text::{self, Side};

/// Characters of a value that are shown; all of it is in JSON.
const MAX_VALUE: usize = 200;

/// Letters that are tried at once: as many as a hundred tables may have.
const LETTERS_AT_ONCE: u32 = 100_000;

/// Characters of a key in a list; all that is kept of it is in JSON.
const MAX_KEY: usize = 60;

/// Shows dead letters, tries their rows again, or discards them.
///
/// # Errors
/// When there is no such pipeline or letter, or a server cannot be asked; `CONFIRMATION_REQUIRED`.
pub(crate) async fn run(command: DeadletterCommand, console: Console) -> Result<Exit, CliError> {
    match command {
        DeadletterCommand::List(arguments) => run_list(arguments, console).await,
        DeadletterCommand::Show(arguments) => run_show(arguments, console).await,
        DeadletterCommand::Replay(arguments) => run_replay(arguments, console).await,
        DeadletterCommand::Discard(arguments) => run_discard(arguments, console).await,
    }
}

async fn run_list(arguments: DeadletterListArguments, console: Console) -> Result<Exit, CliError> {
    let patterns = settings::patterns(&arguments.tables)?;
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    let query = DeadLetterQuery {
        patterns,
        code: arguments.code.map(|code| code.to_uppercase()),
        with_closed: arguments.closed,
        after: arguments.after,
        limit: arguments.limit,
    };
    let found = list(&config, &query).await?;
    match console.output {
        Output::Json => console.json(&found),
        Output::Name => console.data(&names(&found)),
        Output::Table => console.data(&render_list(&found, false, console.data_paint)),
        Output::Wide => console.data(&render_list(&found, true, console.data_paint)),
    }
    Ok(Exit::Ok)
}

async fn run_show(arguments: DeadletterShowArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("deadletter show", &[Output::Table, Output::Json])?;
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    let found = show(&config, arguments.number).await?;
    if console.is_json() {
        console.json(&found);
    } else {
        console.data(&render(&found, console.data_paint));
    }
    Ok(Exit::Ok)
}

async fn run_replay(arguments: DeadletterReplayArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("deadletter replay", &[Output::Table, Output::Json])?;
    console.confirmable(arguments.yes, "deadletter replay")?;
    let patterns = settings::patterns(&arguments.tables)?;
    let (endpoints, mut config) = commands::pipeline(&arguments.pipeline, console)?;
    config.mask_salt = commands::salt(&arguments.salt)?;
    let question = format!("Write the rows of {} that fit by now into the target?", endpoints.name);
    if !arguments.yes && !console.ask(&question) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    let query = DeadLetterQuery {
        patterns,
        code: arguments.code.map(|code| code.to_uppercase()),
        limit: LETTERS_AT_ONCE,
        ..DeadLetterQuery::default()
    };
    let report = replay(&config, &query).await?;
    if console.is_json() {
        console.json(&report);
    } else {
        console.data(&render_replay(&report));
    }
    Ok(Exit::Ok)
}

async fn run_discard(arguments: DeadletterDiscardArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("deadletter discard", &[Output::Table])?;
    console.confirmable(arguments.yes, "deadletter discard")?;
    let (_, config) = commands::pipeline(&arguments.pipeline, console)?;
    let letters = text::plural(arguments.numbers.len(), "letter");
    if !arguments.yes && !console.ask(&format!("Erase what {letters} hold of their rows?")) {
        console.talk("Nothing was changed.");
        return Ok(Exit::Ok);
    }
    discard(&config, &arguments.numbers).await?;
    console.data(&format!("{letters} discarded"));
    Ok(Exit::Ok)
}

/// What became of rows that were tried again, for people.
fn render_replay(report: &ReplayReport) -> String {
    if report.tables.is_empty() {
        return "no open letter is meant".to_owned();
    }
    let line = |table: &segcdc_engine_native::ReplayedTable| {
        let [tried, closed, left] = [table.tried, table.rows.letters, table.rows.left].map(text::count);
        let mut line = format!("{}: {tried} tried, {closed} closed, {left} left", table.source);
        if let Some(reason) = &table.stopped {
            line.push_str(&format!("; not tried: {} [{}]", reason.detail, reason.code));
        }
        line
    };
    report.tables.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The numbers, one a line.
fn names(list: &DeadLetterList) -> String {
    list.letters.iter().map(|letter| letter.number.to_string()).collect::<Vec<_>>().join("\n")
}

/// A list for people; keys, which may be personal data, only when it is wide.
fn render_list(list: &DeadLetterList, wide: bool, paint: Paint) -> String {
    let totals = format!("{} open, {} closed", text::count(list.open), text::count(list.closed));
    if list.letters.is_empty() {
        return format!("no letters to show: {totals}");
    }
    let mut columns = vec![
        ("NUMBER", Side::Right),
        ("TABLE", Side::Left),
        ("STATE", Side::Left),
        ("CODE", Side::Left),
        ("COLUMN", Side::Left),
        ("SINCE", Side::Left),
    ];
    if wide {
        columns.extend([("COMMIT", Side::Left), ("TARGET", Side::Left), ("KEY (PERSONAL DATA)", Side::Left)]);
    }
    let rows = list.letters.iter().map(|letter| row(letter, wide)).collect();
    let mut lines = vec![text::table(&columns, rows), String::new(), totals];
    if let (true, Some(last)) = (list.more, list.letters.last()) {
        lines.push(format!(
            "{} there are more: --after {} goes on, --limit shows more at once",
            paint.yellow("note"),
            last.number
        ));
    }
    lines.join("\n")
}

fn row(letter: &DeadLetterReport, wide: bool) -> Vec<String> {
    let mut row = vec![
        letter.number.to_string(),
        letter.source.to_string(),
        letter.state.to_lowercase(),
        letter.code.clone(),
        letter.column.clone().unwrap_or_default(),
        seconds(&letter.opened_at),
    ];
    if wide {
        row.push(letter.commit_lsn.to_string());
        row.push(if letter.in_target { "older row" } else { "no row" }.to_owned());
        let key = letter.personal_data.key.as_ref().map(|key| key.join(", ")).unwrap_or_default();
        row.push(shortened(&key, MAX_KEY));
    }
    row
}

/// A letter for people.
fn render(letter: &DeadLetterReport, paint: Paint) -> String {
    let place = match &letter.column {
        Some(column) => format!("in column {}", text::visible(column)),
        None => "of the row as a whole".to_owned(),
    };
    let mut lines = vec![
        format!("letter   {}, {}", paint.bold(&letter.number.to_string()), letter.state.to_lowercase()),
        format!("table    {}", text::visible(&letter.source.to_string())),
        format!("reason   {} {place}", letter.code),
        format!("commit   {}", letter.commit_lsn),
        format!("opened   {}", seconds(&letter.opened_at)),
        format!("changed  {}", seconds(&letter.updated_at)),
    ];
    if let Some(closed_at) = &letter.closed_at {
        lines.push(format!("closed   {}; what it held of its row is erased", seconds(closed_at)));
        return lines.join("\n");
    }
    lines.push(match (letter.in_target, letter.behind.as_slice()) {
        (false, _) => "target   has no row of this key".to_owned(),
        (true, []) => "target   has an older version of the row".to_owned(),
        (true, behind) => {
            format!(
                "target   has an older version of the row, behind in {}",
                text::visible(&behind.join(", "))
            )
        }
    });
    lines.push(
        "mend     correct the row at the source: the letter closes when a version arrives that fits"
            .to_owned(),
    );
    lines.push(String::new());
    lines.push(paint.yellow("the row, which may be personal data:"));
    let mut fields: Vec<(String, String)> = Vec::new();
    if let Some(key) = letter.personal_data.key.as_ref().filter(|key| !key.is_empty()) {
        fields.push(("key".to_owned(), shortened(&key.join(", "), MAX_VALUE)));
    }
    let payload = letter.personal_data.payload.iter().flat_map(|payload| &payload.0);
    fields.extend(payload.map(|(name, value)| (text::visible(name), shown(value))));
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    lines.extend(fields.iter().map(|(name, value)| format!("  {name:width$}  {value}")));
    lines.join("\n")
}

/// A value of a payload.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => shortened(text, MAX_VALUE),
        Value::Object(long) => match long.get("bytes").and_then(Value::as_u64) {
            Some(bytes) => format!("({}, not kept)", text::bytes(bytes)),
            None => shortened(&value.to_string(), MAX_VALUE),
        },
        other => shortened(&other.to_string(), MAX_VALUE),
    }
}

/// The first characters of a text, as they can be shown, and a sign that there are more.
fn shortened(value: &str, limit: usize) -> String {
    let mut start: String = value.chars().take(limit).collect();
    if start.len() < value.len() {
        start.push('…');
    }
    text::visible(&start)
}

/// A time without the fraction of its second.
fn seconds(time: &str) -> String {
    time.split_once('.').map_or(time.to_owned(), |(start, _)| format!("{start}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::dead_letters::{Object, PersonalData};
    use segcdc_model::{Lsn, QualifiedName};

    fn letter(number: i64) -> DeadLetterReport {
        let payload = Object(vec![
            ("id".to_owned(), Value::from("7")),
            ("amount".to_owned(), Value::from("NaN")),
            ("note".to_owned(), Value::Null),
            ("scan".to_owned(), serde_json::json!({ "bytes": 3_145_728 })),
            ("text".to_owned(), Value::from(format!("a\u{1b}[31m{}", "x".repeat(300)))),
        ]);
        DeadLetterReport {
            number,
            source: QualifiedName::new("public", "orders"),
            state: "OPEN".to_owned(),
            code: "VALUE_UNREPRESENTABLE".to_owned(),
            column: Some("amount".to_owned()),
            commit_lsn: Lsn::new(0x16_b374_d848),
            in_target: false,
            behind: Vec::new(),
            opened_at: "2026-11-27T04:31:02.123456Z".to_owned(),
            updated_at: "2026-11-27T05:00:00.000001Z".to_owned(),
            closed_at: None,
            personal_data: PersonalData { key: Some(vec!["7".to_owned()]), payload: Some(payload) },
        }
    }

    fn several() -> DeadLetterList {
        let in_target = DeadLetterReport {
            in_target: true,
            behind: vec!["amount".to_owned(), "note".to_owned()],
            ..letter(18)
        };
        let closed = DeadLetterReport {
            state: "HEALED".to_owned(),
            closed_at: Some("2026-11-27T05:00:00.000001Z".to_owned()),
            personal_data: PersonalData::default(),
            ..letter(19)
        };
        let letters = vec![letter(17), in_target, closed];
        DeadLetterList { pipeline: "shop".to_owned(), open: 1_002, closed: 1, letters, more: true }
    }

    #[test]
    fn a_list_shows_what_is_the_matter_and_no_value() {
        let list = several();
        let text = render_list(&list, false, Paint::Plain);
        insta::assert_snapshot!("deadletter_list", text);
        insta::assert_snapshot!("deadletter_list_wide", render_list(&list, true, Paint::Plain));
        assert!(!text.contains("NaN") && !text.contains("KEY"));
        assert_eq!(names(&list), "17\n18\n19");
        let none = DeadLetterList { open: 0, letters: Vec::new(), more: false, ..list };
        assert_eq!(render_list(&none, false, Paint::Plain), "no letters to show: 0 open, 1 closed");
    }

    #[test]
    fn a_letter_shows_its_row_under_a_warning() {
        let [open, in_target, closed] = several().letters.try_into().unwrap();
        insta::assert_snapshot!("deadletter_show", render(&open, Paint::Plain));
        insta::assert_snapshot!("deadletter_show_in_target", render(&in_target, Paint::Plain));
        insta::assert_snapshot!("deadletter_show_closed", render(&closed, Paint::Plain));
        assert!(!render(&open, Paint::Plain).contains('\u{1b}'));
    }

    #[test]
    fn json_names_personal_data() {
        insta::assert_snapshot!("deadletter_json", serde_json::to_string_pretty(&letter(17)).unwrap());
    }
}
