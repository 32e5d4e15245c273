//! What the target cannot hold halts its table, which says so; the others go on.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use segcdc_tds::Datum;

use super::super::stage::{DATABASE, Stage};
use super::cases::{self, Columns};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_the_target_cannot_hold_halt_their_table() -> Result<()> {
    let (mut stage, cases) = super::stage("matrix_refused").await?;
    let mut create = String::new();
    let mut insert = String::new();
    let mut expected = Vec::new();
    let refused = cases.iter().flat_map(|case| case.refused.iter().map(move |value| (case, value)));
    for (index, (case, value)) in refused.enumerate() {
        let (copied, streamed) = (format!("copied_{index:03}"), format!("streamed_{index:03}"));
        let row = |table: &str| format!("INSERT INTO {table} VALUES (1, CAST({value} AS {}));", case.pg_type);
        for table in [&copied, &streamed] {
            write!(create, "CREATE TABLE {table} (id int PRIMARY KEY, value {});", case.pg_type)?;
            expected.push(table.clone());
        }
        write!(create, "{}", row(&copied))?;
        write!(insert, "{}", row(&streamed))?;
    }
    ensure!(expected.len() > 40, "the list of refused values is nearly empty");
    expected.sort();
    stage.source.execute(DATABASE, &create).await?;
    stage
        .source
        .execute(DATABASE, "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1)")
        .await?;
    let mut running = stage.product.up()?;
    let halted = format!(
        "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{}' AND [phase] = N'QUARANTINED'",
        stage.name
    );
    let half = i64::try_from(expected.len() / 2)?;
    running
        .until("the copied tables are halted", super::super::stage::PATIENCE, || async {
            (stage.target_number(&halted).await.ok()? == half).then_some(())
        })
        .await?;
    let live = format!(
        "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{}' AND [phase] = N'STREAMING'",
        stage.name
    );
    running
        .until("the others are live", super::super::stage::PATIENCE, || async {
            (stage.target_number(&live).await.ok()? == half + 1).then_some(())
        })
        .await?;
    stage.source.execute(DATABASE, &insert).await?;
    stage.source.execute(DATABASE, "INSERT INTO good VALUES (2)").await?;
    running
        .until("the streamed tables are halted", super::super::stage::PATIENCE, || async {
            (stage.target_number(&halted).await.ok()? == 2 * half).then_some(())
        })
        .await?;
    stage.caught_up(&mut running, "INSERT INTO good VALUES (3)").await?;
    ensure!(stage.target_count("good").await? == 3, "the good table went on");
    let found = stage.quarantined().await?;
    let tables: Vec<String> = found.iter().map(|(table, _)| table.clone()).collect();
    ensure!(tables == expected, "{tables:?}");
    let other: Vec<_> = found.iter().filter(|(_, code)| code != "VALUE_UNREPRESENTABLE").collect();
    ensure!(other.is_empty(), "{other:?}");
    for table in &expected {
        let count = stage.target_count(table).await.with_context(|| table.clone())?;
        ensure!(count == 0, "{table} has {count} rows: its value was changed to fit");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_will_not_fit_are_found_before_anything_is_changed() -> Result<()> {
    let mut stage = Stage::start("matrix_numbers").await?;
    let setup = "
        CREATE TABLE fits (id int PRIMARY KEY, n numeric);
        INSERT INTO fits VALUES (1, 99999999999999999999.999999999999999999), (2, 1.50000000000000000000000), (3, NULL);
        CREATE TABLE whole (id int PRIMARY KEY, \"N n\" numeric, other numeric);
        INSERT INTO whole VALUES (1, 100000000000000000000.5, 0.25);
        CREATE TABLE fraction (id int PRIMARY KEY, n numeric) PARTITION BY LIST (id);
        CREATE TABLE fraction_rest PARTITION OF fraction DEFAULT;
        INSERT INTO fraction VALUES (1, 0.0000000000000000001);
        CREATE TABLE special (id int PRIMARY KEY, n numeric(50,2));
        INSERT INTO special VALUES (1, 'NaN'), (2, 1);
        CREATE TABLE huge (id int PRIMARY KEY, n numeric);
        INSERT INTO huge VALUES (1, 1e131071), (2, 1e-16383);";
    stage.source.execute(DATABASE, setup).await?;
    let finished = stage.product.succeed(&["plan"]).await?;
    let shown = format!("{}{}", finished.stdout, finished.stderr);
    for expected in [
        "the column \"N n\" of public.whole has numbers with up to 21 digits before and 1 behind the point",
        "--type 'public.whole.\"N n\"=decimal(38,1)' --on-value 'public.whole.\"N n\"=halt'",
        "public.fraction has numbers with up to 1 digits before and 19 behind the point",
        "public.special has NaN or infinity in 1 rows",
        "public.huge has numbers with up to 131072 digits before and 16383 behind the point",
    ] {
        ensure!(shown.contains(expected), "{expected}: {shown}");
    }
    let all = stage.product.succeed(&["plan", "-o", "json"]).await?;
    let view: serde_json::Value = serde_json::from_str(&all.stdout)?;
    let findings = view["findings"].as_array().context("findings")?;
    let count = |code: &str| findings.iter().filter(|finding| finding["code"] == code).count();
    ensure!(count("NUMBERS_DO_NOT_FIT") == 4, "{findings:#?}");
    let fitting = findings.iter().any(|finding| {
        finding["detail"].as_str().is_some_and(|detail| detail.contains("numbers of 2 columns"))
    });
    ensure!(fitting, "{findings:#?}");
    // What the hint proposes makes the finding go away, and the number arrive.
    let rule = "--on-value=public.whole.\"N n\"=text";
    ensure!(shown.contains("--on-value 'public.whole.\"N n\"=text'"), "{shown}");
    let up = ["up", "--yes", "--until-caught-up", "--tables", "whole", rule];
    let finished = stage.product.succeed(&up).await?;
    ensure!(!finished.stderr.contains("NUMBERS_DO_NOT_FIT"), "{finished}");
    let sql = format!("SELECT [N n] FROM {}", stage.target_table("whole"));
    let response = stage.target().await?.batch(&sql).await?;
    ensure!(
        response.first_row() == Some(&[Datum::Text("100000000000000000000.5".to_owned())][..]),
        "{response:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_would_halt_arrive_as_text_where_it_is_asked() -> Result<()> {
    let (mut stage, mut cases) = super::stage("matrix_worded").await?;
    cases.retain(|case| !case.refused.is_empty());
    for case in &mut cases {
        let refused = std::mem::take(&mut case.refused);
        case.values.extend(refused);
    }
    cases::leave_out_large(&mut cases);
    ensure!(cases.len() > 10, "hardly any type has values that are refused: {}", cases.len());
    let columns = Columns::new(&cases);
    let texts: Vec<String> = (0..cases.len()).map(|index| format!("c{index}::text AS c{index}")).collect();
    let setup = format!(
        "{}; CREATE SCHEMA expected; CREATE VIEW expected.worded AS SELECT id, {} FROM worded; {}",
        columns.create("worded"),
        texts.join(", "),
        columns.fill("worded", 0)
    );
    stage.source().await?.batch_execute(&setup).await?;
    let up = ["up", "--yes", "--until-caught-up", "--tables", "worded", "--on-value", "text"];
    stage.product.succeed(&up).await?;
    ensure_worded(&stage, "by the copy").await?;
    let changes = format!("{}; {}", columns.rotate("worded"), columns.fill("worded", 1000));
    stage.source().await?.batch_execute(&changes).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    ensure_worded(&stage, "by the stream").await?;
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// Each value is the text that PostgreSQL prints.
async fn ensure_worded(stage: &Stage, when: &str) -> Result<()> {
    let pair = ["expected", "worded", stage.target.default_schema.as_str(), "worded"];
    let found = stage.compare_pairs(&[pair]).await?;
    ensure!(found.equal, "{when}: {found:#?}");
    ensure!(stage.quarantined().await?.is_empty(), "{when}: {:?}", stage.quarantined().await?);
    Ok(())
}
