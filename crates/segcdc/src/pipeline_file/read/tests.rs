use super::*;
use crate::pipeline_file::document;
use segcdc_model::Fault;

fn read_text(text: &str) -> Read {
    let node = document::read("p.yaml", text).unwrap();
    read(&node, Path::new("/etc/segcdc"), &|name| (name == "SECRET").then(|| "p@ss".to_owned()))
}

/// What a text says, as `argument=value` in order.
fn said(text: &str) -> Vec<String> {
    let read = read_text(text);
    assert!(read.problems.is_empty(), "{text}: {:?}", read.problems);
    read.assignments
        .iter()
        .flat_map(|assignment| {
            assignment.values.iter().map(|said| format!("{}={}", assignment.argument, said.text))
        })
        .collect()
}

#[test]
fn keys_become_arguments() {
    for (text, expected) in [
        ("version: 1\nname: shop", &["name=shop"][..]),
        ("copy: {readers: 8, throttle: 20MiB/s}", &["readers=8", "throttle=20MiB/s"]),
        ("tables:\n  include: ['public.*', b.c]\n  exclude:\n", &["tables=public.*", "tables=b.c"]),
        ("spill: {directory: spill}\nkafka: {tls: true}", &["spill_dir=/etc/segcdc/spill", "kafka_tls=true"]),
        ("spill: {directory: /var/spill}", &["spill_dir=/var/spill"]),
        ("source:\n  url: postgres://app@h/d\n  password: ${SECRET}", &["source=postgres://app:p%40ss@h/d"]),
        ("target: {password: '${SECRET}', url: sqlserver://app@h/d}", &["target=sqlserver://app:p%40ss@h/d"]),
        ("kafka: {auth: '${SECRET}'}", &["kafka_auth=p@ss"]),
        ("kafka: {auth: '@/x'}", &["kafka_auth=@/x"]),
        ("name: ${NAME:-shop}", &["name=shop"]),
        // Texts are what was written.
        ("name: no", &["name=no"]),
        ("name: 'null'", &["name=null"]),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn mappings_become_rules() {
    for (text, expected) in [
        (
            "types: {public.t.n: 'decimal(28,6)', timestamptz: datetime2(6)}",
            &["types=public.t.n=decimal(28,6)", "types=timestamptz=datetime2(6)"][..],
        ),
        ("on_value: {default: text, public.t: null}", &["on_value=text", "on_value=public.t=null"]),
        ("on_refused: {default: halt, a.b: set_aside}", &["on_refused=halt", "on_refused=a.b=set_aside"]),
        ("dead_letter_limit: {default: 50, a.b: 0}", &["dead_letter_limit=50", "dead_letter_limit=a.b=0"]),
        ("rename: {'public.\"Order\"': dbo.Orders}", &["rename=public.\"Order\"=dbo.Orders"]),
        ("keys: {a.b: i, a.c: [x, '\"y,z\"']}", &["key=a.b=i", "key=a.c=(x, \"y,z\")"]),
        ("append_only: {a.b: ignore}", &["append_only=a.b=ignore"]),
        ("modes: {default: soft-delete, a.b: mirror}", &["mode=soft-delete", "mode=a.b=mirror"]),
        (
            "columns: {include: {a.b: [c, d]}, exclude: [a.*.e]}",
            &["columns=a.b=(c, d)", "exclude_columns=a.*.e"],
        ),
        ("masks: {a.b.c: hash, 'a.*.d': 'truncate:4'}", &["mask=a.b.c=hash", "mask=a.*.d=truncate:4"]),
        ("mask_salt: {env: SALT}", &["mask_salt_env=SALT"]),
        ("constants: {a.b.c: 'x, y', 'a.*.d:int': 7}", &["constant=a.b.c=x, y", "constant=a.*.d:int=7"]),
        ("where:\n  a.b: region = 'EU, or not'", &["filters=a.b: region = 'EU, or not'"]),
        (
            "on_schema_change:\n  default: halt\n  drop-column: apply\n  a.b: halt-all\n  a.*: {add-column: ignore, default: halt}",
            &[
                "on_schema_change=halt",
                "on_schema_change=drop-column=apply",
                "on_schema_change=a.b:halt-all",
                "on_schema_change=a.*:add-column=ignore",
                "on_schema_change=a.*:halt",
            ],
        ),
        (
            "kafka_connect: {properties: {source.max.batch.size: 4096}}",
            &["connect_properties=source.max.batch.size=4096"],
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_has_its_code_and_place() {
    for (text, expected) in [
        ("nmae: x", "CONFIG_UNKNOWN_KEY p.yaml:1:1: there is no key \"nmae\"; did you mean \"name\"?"),
        (
            "source: {ulr: x}",
            "CONFIG_UNKNOWN_KEY p.yaml:1:10: there is no key \"ulr\" in source; did you mean \"url\"?",
        ),
        (
            "readers: 4",
            "CONFIG_UNKNOWN_KEY p.yaml:1:1: there is no key \"readers\"; did you mean \"copy: readers\"?",
        ),
        (
            "spill: {frequency: 1}",
            "CONFIG_UNKNOWN_KEY p.yaml:1:9: there is no key \"frequency\" in spill; there are directory, limit",
        ),
        (
            "copy: {readers: 33}",
            "CONFIG_VALUE p.yaml:1:17: copy.readers: a whole number from 1 to 32 is expected",
        ),
        (
            "copy: {readers: 1e1}",
            "CONFIG_VALUE p.yaml:1:17: copy.readers: a whole number from 1 to 32 is expected",
        ),
        ("kafka: {tls: yes}", "CONFIG_VALUE p.yaml:1:14: kafka.tls: true or false is expected"),
        ("name: ~", "CONFIG_VALUE p.yaml:1:7: name: it has no value;"),
        ("name: [a]", "CONFIG_VALUE p.yaml:1:7: name: a single value is expected"),
        ("tables: [a]", "CONFIG_VALUE p.yaml:1:9: tables: keys with values are expected"),
        ("tables: {include: a}", "CONFIG_VALUE p.yaml:1:19: tables.include: a list is expected"),
        ("- a", "CONFIG_VALUE p.yaml:1:1: the file: keys with values are expected"),
        ("types: [a=b]", "CONFIG_VALUE p.yaml:1:8: types: keys with values are expected"),
        (
            "columns: {include: {a.b: c}}",
            "CONFIG_VALUE p.yaml:1:26: columns.include.a.b: a list of columns is expected",
        ),
        ("version: 2", "CONFIG_VERSION p.yaml:1:10:"),
        ("name: ${NO}", "CONFIG_REFERENCE p.yaml:1:7: name: the variable NO is not set, or empty"),
        ("source: {password: x}", "CONFIG_SECRET_IN_CLEAR p.yaml:1:20: source.password holds"),
        ("source: {password: '${SECRET:-x}'}", "CONFIG_SECRET_IN_CLEAR p.yaml:1:20:"),
        (
            "source: {url: 'postgres://app:hidden@h/d'}",
            "CONFIG_SECRET_IN_CLEAR p.yaml:1:15: source.url holds",
        ),
        ("kafka: {auth: 'app:hidden'}", "CONFIG_SECRET_IN_CLEAR p.yaml:1:15: kafka.auth holds"),
        (
            "source: {password_file: /no/such}",
            "CONFIG_SECRET_FILE p.yaml:1:25: source.password_file: /no/such cannot be read",
        ),
        (
            "source: {password: '${SECRET}'}",
            "CONFIG_VALUE p.yaml:1:10: source.password: there is no source.url",
        ),
        (
            "source: {password: '${SECRET}', url: 'postgres://h/d'}",
            "CONFIG_VALUE p.yaml:1:10: source.password: source.url has to name a user",
        ),
        ("kafka: {cert_file: x}", "CONFIG_VALUE p.yaml:1:9: kafka.cert_file: kafka.key_file is missing"),
    ] {
        let read = read_text(text);
        assert_eq!(read.problems.len(), 1, "{text}: {:?}", read.problems);
        let problem = read.problems.first().unwrap();
        let found = format!("{} {problem}", problem.code());
        assert!(found.starts_with(expected), "{text}: {found}");
        assert!(!found.contains("hidden") && !problem.hint().is_empty());
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let read = read_text("nmae: x\ncopy: {readers: 0}\nsource: {password: x}\n");
    assert_eq!(read.problems.len(), 3, "{:?}", read.problems);
    let error = crate::pipeline_file::error::one_error("p.yaml", read.problems).unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("CONFIG_UNKNOWN_KEY", "p.yaml has 3 problems")
    );
    assert_eq!(error.causes.len(), 3);
    assert!(error.causes.iter().any(|cause| cause.ends_with("[CONFIG_VALUE]")), "{:?}", error.causes);
}

/// A file with every kind of value.
const EXAMPLE: &str = "version: 1\nname: shop\nsource:\n  url: postgres://app@db/shop\n  password: ${SECRET}\ntarget:\n  url: \
     sqlserver://sa@mssql/shop\ntables:\n  include: ['public.*', b.c]\n  exclude: [public.tmp]\ncopy: {readers: 8, throttle: 20MiB/s}\n\
     types: {public.t.n: 'decimal(28,6)'}\non_value: {default: text, public.t: null}\nkeys: {a.b: [x, '\"y,z\"']}\nwhere:\n  a.b: region = \
     'EU'\non_schema_change:\n  default: halt\n  a.*: {add-column: ignore}\n";

proptest::proptest! {
    /// A file in which pieces were moved, doubled or damaged is read to its end, and tells no password in what is wrong.
    #[test]
    fn a_damaged_file_is_told_of(
        edits in proptest::collection::vec((0..EXAMPLE.len(), 0..EXAMPLE.len(), 0..EXAMPLE.len(), "[\\-\\[\\]{},:#&*!|>'\"$~\\n\\t 0-9a-zé]{0,4}"), 1..6)
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (from, length, to, written) in edits {
            let piece: Vec<char> = text.iter().skip(from).take(length % 40).copied().collect();
            let at = to.min(text.len());
            text.splice(at..at, piece);
            let end = (at + written.chars().count()).min(text.len());
            text.splice(at..end, written.chars());
        }
        let text: String = text.into_iter().collect();
        let problems = match document::read("p.yaml", &text) {
            Ok(node) => {
                read(&node, Path::new("/etc/segcdc"), &|name| (name == "SECRET").then(|| "p@ss".to_owned())).problems
            }
            Err(problems) => problems,
        };
        for problem in problems {
            let said = format!("{} {problem} {}", problem.code(), problem.hint());
            proptest::prop_assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
        }
    }
}
