//! What the target cannot hold halts its table, which says so; the others go on.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use segcdc_tds::Datum;

use super::super::stage::{DATABASE, Stage};

/// Table and code of each quarantined table.
async fn quarantined(stage: &Stage) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT [source_name], [error_code] FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'{}' \
         AND [phase] = N'QUARANTINED' ORDER BY [source_name]",
        stage.name
    );
    let response = stage.target().await?.batch(&sql).await?;
    let rows = response.sets.iter().flat_map(|set| &set.rows).map(|row| match row.as_slice() {
        [Datum::Text(table), Datum::Text(code)] => Ok((table.clone(), code.clone())),
        row => anyhow::bail!("{row:?}"),
    });
    rows.collect()
}

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
    let found = quarantined(&stage).await?;
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
