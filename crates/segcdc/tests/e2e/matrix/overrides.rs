//! Types that a user asks for: what `tests/matrix/overrides.txt` lists arrives as it says, and the rest is no other value.

use anyhow::{Context, Result, ensure};
use segcdc_testkit::PostgresOptions;
use serde_json::Value;

use super::super::stage::{DATABASE, PATIENCE, Stage};
use super::cases::{self, Case, Columns};
use super::ensure_streamed;

/// A type that is asked for, with its values: the case's row is the target type.
struct Asked {
    case: Case,
    /// What arrives; `$` is the column.
    arrives: String,
}

/// A source with what the types need, and the cases.
async fn stage(name: &str) -> Result<(Stage, Vec<Asked>)> {
    let options = PostgresOptions::default().setting("log_replication_commands", "on");
    let stage = Stage::start_with(name, options).await?;
    let split = |mut case: Case| {
        let (pg_type, arrives) = case.pg_type.split_once(" | ").context(case.pg_type.clone())?;
        let (pg_type, arrives) = (pg_type.to_owned(), arrives.to_owned());
        case.pg_type = pg_type;
        Ok(Asked { case, arrives })
    };
    let mut listed = cases::listed("overrides.txt")?.into_iter().map(split).collect::<Result<Vec<_>>>()?;
    let version = stage.target_version().await?;
    let finest = finest_scale(&stage).await?;
    listed.retain(|asked| {
        let row = asked.case.row.as_str();
        let is_there = version >= needed_version(row) && (finest >= 7 || !row.ends_with("(7)"));
        if !is_there {
            eprintln!("skipped, version {version} of the target has not {row}: {}", asked.case.pg_type);
        }
        is_there
    });
    let mut cases: Vec<Case> = listed.iter().map(|asked| asked.case.clone()).collect();
    cases::make(&stage.source, DATABASE, &mut cases).await?;
    let arrives = listed.into_iter().map(|asked| asked.arrives);
    let asked = cases.into_iter().zip(arrives).map(|(case, arrives)| Asked { case, arrives });
    Ok((stage, asked.collect()))
}

/// The major version of SQL Server that a type came with: UTF-8 with 2019, json with 2025.
fn needed_version(target_type: &str) -> u32 {
    match target_type {
        "json" => 17,
        varchar if varchar.starts_with("varchar(") => 15,
        _ => 0,
    }
}

/// The digits of a second that the target keeps of those it is asked for: 7, but 6 in Babelfish, whose catalog says so.
async fn finest_scale(stage: &Stage) -> Result<i64> {
    let sql = "CREATE TABLE [finest] ([at] datetime2(7) NULL)";
    stage.target().await?.batch(sql).await?;
    let sql = "SELECT CAST(c.scale AS bigint) FROM sys.columns c WHERE c.object_id = OBJECT_ID(N'finest')";
    let scale = stage.target_number(sql).await?;
    stage.target().await?.batch("DROP TABLE [finest]").await?;
    Ok(scale)
}

/// The types as options, for the columns of a table.
fn types(asked: &[Asked], table: &str) -> Vec<String> {
    let rules = asked.iter().enumerate();
    let rules = rules.map(|(index, asked)| format!("--type=public.{table}.c{index}={}", asked.case.row));
    rules.collect()
}

/// A view of what should arrive, under `expected`.
fn view(asked: &[Asked], table: &str) -> String {
    let columns = asked
        .iter()
        .enumerate()
        .map(|(index, asked)| format!("{} AS c{index}", asked.arrives.replace('$', &format!("c{index}"))));
    format!(
        "CREATE VIEW expected.{table} AS SELECT id, {} FROM {table}",
        columns.collect::<Vec<_>>().join(", ")
    )
}

/// Runs `up` until everything is there.
async fn up(stage: &mut Stage, rules: &[String]) -> Result<String> {
    let mut arguments = vec!["up", "--yes", "--until-caught-up"];
    arguments.extend(rules.iter().map(String::as_str));
    Ok(stage.product.succeed(&arguments).await?.stderr)
}

/// Compares the target's tables with their views.
async fn ensure_expected(stage: &Stage, tables: &[&str], when: &str) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let pairs: Vec<[&str; 4]> = tables.iter().map(|table| ["expected", *table, schema, *table]).collect();
    let found = stage.compare_pairs(&pairs).await?;
    ensure!(found.equal, "{when}: {found:#?}, halted: {:?}", stage.quarantined().await?);
    Ok(())
}

async fn ensure_verified(stage: &mut Stage) -> Result<()> {
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// The answer of a command that ends with 0, as JSON.
async fn json(stage: &mut Stage, arguments: &[&str]) -> Result<Value> {
    let finished = stage.product.succeed(&[arguments, &["-o", "json"]].concat()).await?;
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// Copies a table with a column a type, then changes it by the stream; clients of others compare both times.
async fn round_trip(stage: &mut Stage, asked: &[Asked], binary: bool) -> Result<()> {
    let cases: Vec<Case> = asked.iter().map(|asked| asked.case.clone()).collect();
    let columns = Columns::new(&cases);
    let setup = format!(
        "{}; {}; CREATE SCHEMA expected; {}",
        columns.create("asked"),
        columns.fill("asked", 0),
        view(asked, "asked")
    );
    stage.source().await?.batch_execute(&setup).await?;
    let mut rules = types(asked, "asked");
    rules.push("--on-value=public.asked=halt".to_owned());
    let mut plan: Vec<&str> = rules.iter().map(String::as_str).collect();
    plan.insert(0, "plan");
    let plan = json(stage, &plan).await?;
    for (index, asked) in asked.iter().enumerate() {
        let planned = &plan["tables"][0]["columns"][index + 1];
        let named = if asked.case.row == "json_array" { "nvarchar(max)" } else { asked.case.row.as_str() };
        ensure!(planned["target_type"] == named, "{planned:#}");
    }
    up(stage, &rules).await?;
    ensure_expected(stage, &["asked"], "by the copy").await?;
    let changes = format!("{}; {}", columns.rotate("asked"), columns.fill("asked", 1000));
    stage.source().await?.batch_execute(&changes).await?;
    // The rules are the pipeline's, and the tables have the types that they ask for.
    up(stage, &[]).await?;
    ensure_expected(stage, &["asked"], "by the stream").await?;
    ensure_verified(stage).await?;
    ensure_streamed(stage, binary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_asked_type_round_trips_as_text() -> Result<()> {
    let (mut stage, asked) = stage("asked_text").await?;
    ensure!(asked.len() > 30, "the list is nearly empty");
    round_trip(&mut stage, &asked, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_asked_type_with_a_binary_decoder_round_trips_as_binary() -> Result<()> {
    let (mut stage, mut asked) = stage("asked_binary").await?;
    asked.retain(|asked| asked.case.has_binary_form && !asked.arrives.ends_with("::text"));
    ensure!(asked.len() > 15, "the list is nearly empty");
    round_trip(&mut stage, &asked, true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_asked_type_does_not_hold_is_never_another_value() -> Result<()> {
    let (mut stage, asked) = stage("asked_refused").await?;
    let cases: Vec<Case> = asked.iter().map(|asked| asked.case.clone()).collect();
    let create = Columns::new(&cases).create("aside");
    // Each value that does not fit in a row of its own.
    let refused = cases
        .iter()
        .enumerate()
        .flat_map(|(index, case)| {
            case.refused.iter().map(move |value| (index, format!("CAST({value} AS {})", case.pg_type)))
        })
        .collect::<Vec<_>>();
    ensure!(refused.len() > 40, "the list of refused values is nearly empty");
    let rows = |table: &str, first: usize| {
        let rows = refused.iter().enumerate();
        let rows = rows.map(|(row, (column, value))| {
            format!("INSERT INTO {table} (id, c{column}) VALUES ({}, {value});", first + row)
        });
        rows.collect::<String>()
    };
    let mut setup = format!(
        "{create}; CREATE TABLE nulled (LIKE aside INCLUDING ALL); CREATE SCHEMA expected;
         CREATE VIEW expected.nulled AS SELECT id, NULL::int AS c0 FROM nulled;
         CREATE TABLE halted (id int PRIMARY KEY, n bigint); INSERT INTO halted VALUES (1, 7);"
    );
    setup += &(rows("aside", 1) + &rows("nulled", 1));
    stage.source().await?.batch_execute(&setup).await?;
    let mut rules = [types(&asked, "aside"), types(&asked, "nulled")].concat();
    rules.push("--on-value=public.aside=set_aside".to_owned());
    rules.push("--on-value=public.nulled=null".to_owned());
    rules.push("--type=public.halted.n=int".to_owned());
    rules.push("--on-value=public.halted.n=halt".to_owned());
    let count = i64::try_from(refused.len())?;
    let not_null =
        (0..cases.len()).map(|index| format!("[c{index}] IS NOT NULL")).collect::<Vec<_>>().join(" OR ");
    for (pass, when) in [(1, "by the copy"), (2, "by the stream")] {
        if pass == 2 {
            stage.source().await?.batch_execute(&(rows("aside", 1001) + &rows("nulled", 1001))).await?;
        }
        up(&mut stage, if pass == 1 { &rules } else { &[] }).await?;
        ensure!(stage.target_count("aside").await? == 0, "{when}");
        let nulled = stage.target_table("nulled");
        ensure!(stage.target_count("nulled").await? == pass * count, "{when}");
        let changed = stage.target_number(&format!("SELECT COUNT(*) FROM {nulled} WHERE {not_null}")).await?;
        ensure!(changed == 0, "{when}: {changed} values were changed to fit");
        let letters = stage
            .target_number("SELECT COUNT(*) FROM [segcdc].[dead_letter] WHERE [closed_at] IS NULL")
            .await?;
        ensure!(letters == pass * count, "{when}: {letters} letters");
    }
    ensure_verified(&mut stage).await?;
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    stage.source.execute(DATABASE, "INSERT INTO halted VALUES (2, 2147483648)").await?;
    let halted = || async { (stage.quarantined().await.ok()?.len() == 1).then_some(()) };
    running.until("the table is halted", PATIENCE, halted).await?;
    assert_eq!(stage.quarantined().await?, [("halted".to_owned(), "VALUE_UNREPRESENTABLE".to_owned())]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_whole_rows_and_tables_that_are_there_take_asked_types() -> Result<()> {
    let mut stage = Stage::start("asked_tables").await?;
    let setup = "
        CREATE TABLE keyed (k varchar(10), n int, at timestamp(3), note text, PRIMARY KEY (n, k, at));
        INSERT INTO keyed SELECT 'k' || i % 3, i, '2024-01-01'::timestamp + i * interval '1 ms', 'x' FROM generate_series(1, 50) i;
        CREATE TABLE bag (n numeric, at timestamptz, r real, note varchar(20));
        ALTER TABLE bag REPLICA IDENTITY FULL;
        INSERT INTO bag SELECT i % 3 + 0.25, '2024-01-01 00:00:00+00', 0.1, 'x' FROM generate_series(1, 9) i;
        INSERT INTO bag VALUES (NULL, NULL, NULL, NULL);
        CREATE TABLE there (id int PRIMARY KEY, n int, at timestamptz, note varchar(20));
        INSERT INTO there VALUES (1, 1, '2024-01-01 00:00:00.5+01', 'x');
        CREATE SCHEMA expected;
        CREATE VIEW expected.keyed AS SELECT * FROM keyed;
        CREATE VIEW expected.bag AS SELECT n, at AT TIME ZONE 'UTC' AS at, r::float8 AS r, note FROM bag;
        CREATE VIEW expected.there AS SELECT id, n, at AT TIME ZONE 'UTC' AS at, note FROM there;";
    stage.source().await?.batch_execute(setup).await?;
    stage.make_target_schema().await?;
    let there = stage.target_table("there");
    let create = format!(
        "CREATE TABLE {there} ([id] bigint NOT NULL, [n] decimal(12,2) NULL, [at] datetime2(6) NULL, [note] nvarchar(100) NULL)"
    );
    stage.target().await?.batch(&create).await?;
    // What is there is not what is planned; the rules that take it as it is are offered.
    let refused = stage.product.run(&["plan"]).await?;
    let shown = format!("{}{}", refused.stdout, refused.stderr);
    let offered = [
        "public.there.id=bigint",
        "public.there.n=decimal(12,2)",
        "public.there.at=datetime2(6)",
        "public.there.note=nvarchar(100)",
    ];
    for rule in offered {
        ensure!(shown.contains(&format!("--type '{rule}'")), "{rule}: {shown}");
    }
    let mut rules: Vec<String> = offered.iter().map(|rule| format!("--type={rule}")).collect();
    for rule in [
        "public.keyed.n=bigint",
        "public.keyed.k=nvarchar(30)",
        "public.keyed.at=datetime2(3)",
        "public.bag.n=decimal(28,6)",
        "public.bag.at=datetime2(6)",
        "public.bag.r=float",
    ] {
        rules.push(format!("--type={rule}"));
    }
    if stage.target_version().await? >= needed_version("varchar(max)") {
        rules.push("--type=public.bag.note=varchar(max)".to_owned());
    }
    let narrow = stage
        .product
        .run(&[&["plan"], &*rules.iter().map(String::as_str).collect::<Vec<_>>()].concat())
        .await?;
    let shown = format!("{}{}", narrow.stdout, narrow.stderr);
    ensure!(
        shown.contains("TYPE_NARROWS") && shown.contains("--on-value 'public.bag.n=set_aside'"),
        "{shown}"
    );
    rules.push("--on-value=public.bag.n=set_aside".to_owned());
    up(&mut stage, &rules).await?;
    let all = ["keyed", "bag", "there"];
    ensure_expected(&stage, &all, "by the copy").await?;
    // Few rows go by statements of their own, many by staging.
    let changes = [
        "UPDATE keyed SET note = 'y' WHERE n = 7; DELETE FROM keyed WHERE n = 8; UPDATE keyed SET k = 'other' WHERE n = 9;
         UPDATE bag SET note = 'y' WHERE ctid IN (SELECT ctid FROM bag WHERE n = 1.25 LIMIT 1); DELETE FROM bag WHERE n IS NULL;
         UPDATE there SET at = '2024-02-29 12:00:00.123456+02', n = -5; INSERT INTO there VALUES (2, NULL, NULL, NULL);",
        "UPDATE keyed SET n = n + 1000, at = at + interval '1 s'; DELETE FROM keyed WHERE n % 5 = 0;
         UPDATE bag SET at = at + interval '1.5 s', n = n * 2; INSERT INTO bag SELECT i, now(), i, 'z' FROM generate_series(1, 60) i;
         DELETE FROM bag WHERE n = 2.5; INSERT INTO there SELECT i, i, now(), 'z' FROM generate_series(10, 60) i;",
    ];
    for change in changes {
        stage.source().await?.batch_execute(&format!("BEGIN; {change} COMMIT")).await?;
        up(&mut stage, &[]).await?;
        ensure_expected(&stage, &all, "by the stream").await?;
    }
    ensure_verified(&mut stage).await?;
    // A live table keeps its types until it is copied again.
    let changed =
        stage.product.run(&["up", "--yes", "--until-caught-up", "--type", "public.keyed.n=int"]).await?;
    ensure!(!changed.status.success() && changed.stderr.contains("RULES_CHANGE_SHAPE"), "{changed}");
    Ok(())
}
