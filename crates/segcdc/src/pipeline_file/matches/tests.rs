use super::*;
use crate::arguments::{Command as Wanted, Engine, Snapshot, UpArguments, VerifyArguments};
use crate::pipeline_file::page;

/// The command line `segcdc WORDS -f -`, with a file on standard input.
fn understood(words: &[&str], file: &str) -> Result<Understood, CliError> {
    let words: Vec<OsString> =
        ["segcdc"].iter().chain(words).chain(&["-f", "-"]).map(OsString::from).collect();
    let variable = |name: &str| (name != "UNSET").then(|| "from:variable".to_owned());
    understand(&words, &mut file.as_bytes(), &variable).map_err(|unread| match unread {
        Unread::CommandLine(error) => CliError::usage("COMMAND_LINE", error.to_string(), ""),
        Unread::File(error, _) => *error,
    })
}

fn up(words: &[&str], file: &str) -> (UpArguments, Vec<String>) {
    let understood = understood(&[&["up"], words].concat(), file).unwrap();
    match understood.arguments.command {
        Wanted::Up(arguments) => (arguments, understood.notes),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_flag_wins_over_the_file_and_that_is_said() {
    let file = "name: shop\ncopy:\n  readers: 8\n  snapshot: none\ntables: {include: [a.b]}\n";
    let (arguments, notes) = up(&["--readers", "2"], file);
    assert_eq!((arguments.setup.readers, arguments.setup.snapshot), (2, Snapshot::None));
    assert_eq!(arguments.setup.pipeline.name.as_deref(), Some("shop"));
    assert_eq!(arguments.setup.tables, ["a.b"]);
    assert_eq!(notes, ["--readers counts, and not copy.readers of standard input:3:3"]);
    let (arguments, notes) = up(&["--tables", "c.d", "--tables", "e.f"], file);
    assert_eq!(arguments.setup.tables, ["c.d", "e.f"]);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn a_selection_of_tables_is_not_the_files() {
    let file = "tables: {include: [a.b]}\nname: shop\ncopy: {readers: 8}\n";
    let understood = understood(&["verify"], file).unwrap();
    let Wanted::Verify(VerifyArguments { pipeline, tables, .. }) = understood.arguments.command else {
        unreachable!()
    };
    assert_eq!((pipeline.name.as_deref(), tables), (Some("shop"), Vec::new()));
}

#[test]
fn commands_below_commands_have_it_too() {
    for words in [
        &["table", "list"][..],
        &["table", "pause", "--tables", "a.b"],
        &["table", "resync"],
        &["deadletter", "list"],
        &["deadletter", "show", "1"],
        &["status"],
        &["slot"],
        &["doctor"],
        &["plan"],
        &["migrate"],
        &["down"],
        &["pause"],
        &["restart"],
        &["reset"],
    ] {
        let understood =
            understood(words, "name: shop\nengine: kafka-connect\non_value: {default: text}\n").unwrap();
        assert!(format!("{:?}", understood.arguments).contains("Some(\"shop\")"), "{words:?}");
        assert_eq!(understood.notes, [] as [String; 0]);
    }
}

#[test]
fn values_go_through_the_checks_of_flags() {
    for (file, code, message) in [
        (
            "engine: nativ",
            "CONFIG_VALUE",
            "standard input:1:9: engine: invalid value 'nativ': [possible values: native, kafka-connect]",
        ),
        (
            "spill: {limit: 12XB}",
            "CONFIG_VALUE",
            "standard input:1:16: spill.limit: invalid value '12XB': a size is",
        ),
        (
            "copy: {throttle: 5}",
            "CONFIG_VALUE",
            "standard input:1:18: copy.throttle: invalid value '5': a pace is rows",
        ),
        ("tables: {include: [a..b]}", "TABLE_PATTERN", "standard input:1:20: tables.include: "),
        (
            "on_value:\n  a.b: nul\n",
            "RULE_INVALID",
            "standard input:2:3: on_value: --on-value \"a.b=nul\" cannot",
        ),
        ("types: {a.b.c: nonsense}", "RULE_INVALID", "standard input:1:9: types: "),
        ("kafka_connect: {properties: {nothing: 1}}", "PROPERTY_NOT_ALLOWED", "standard input:1:30: "),
    ] {
        let error = understood(&["up"], file).unwrap_err();
        assert_eq!(error.code, code, "{file}: {}", error.message);
        assert!(error.message.starts_with(message), "{file}: {}", error.message);
        assert_eq!(error.exit.code(), 2, "{file}");
    }
}

#[test]
fn the_example_of_the_page_is_understood() {
    let (arguments, notes) = up(&[], &page::example());
    assert_eq!(notes, [] as [String; 0]);
    assert_eq!(
        arguments.setup.pipeline.source.as_deref(),
        Some("postgres://app:from%3Avariable@db1:5432/shop?sslmode=verify-full")
    );
    assert_eq!(arguments.setup.engine.engine, Engine::Native);
    assert!(arguments.setup.engine.worker.brokers.kafka_tls);
    assert!(!settings::rules(&arguments.setup.rules).unwrap().is_empty());
    assert_eq!(arguments.setup.rules.on_value, ["halt", "public.orders.total=set_aside", "timestamptz=null"]);
}

#[test]
fn help_shows_nothing_of_the_file() {
    let error = understood(&["up", "--help"], "source: {url: 'postgres://app:${SECRET}@h/d'}").unwrap_err();
    assert_eq!(error.code, "COMMAND_LINE");
    assert!(!error.message.contains("from:variable") && !error.message.contains("app:"));
}
