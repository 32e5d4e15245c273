//! Changes of source tables, from the command line.

use anyhow::{Context, Result, ensure};
use segcdc_tds::Datum;
use serde_json::Value;

use super::stage::{DATABASE, PATIENCE, Stage};

const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, total numeric(10, 2), note varchar(10));
    INSERT INTO orders SELECT n, 'customer ' || n, n, 'note' FROM generate_series(1, 100) n;
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL); INSERT INTO customers VALUES (1, 'Ada');
    CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO gone VALUES (1);
    CREATE TABLE strict (id int PRIMARY KEY, v text); INSERT INTO strict VALUES (1, 'v')";

/// Changes with rows before, between and behind them.
const CHANGES: &str = "
    BEGIN; UPDATE orders SET note = 'before' WHERE id = 1;
    ALTER TABLE orders RENAME COLUMN customer TO buyer; UPDATE orders SET buyer = 'renamed' WHERE id = 2;
    ALTER TABLE orders ADD COLUMN paid boolean NOT NULL DEFAULT true; UPDATE orders SET paid = false WHERE id = 3;
    ALTER TABLE orders DROP CONSTRAINT orders_pkey; INSERT INTO orders VALUES (1, 'same id', 1, 'n', true);
    ALTER TABLE orders ADD PRIMARY KEY (id, buyer); DELETE FROM orders WHERE buyer = 'same id'; DROP TABLE gone;
    ALTER TABLE orders DROP COLUMN note; INSERT INTO orders VALUES (101, 'new', 9, false);
    ALTER TABLE orders ALTER COLUMN total TYPE numeric(14, 2); UPDATE orders SET total = 123456789012.34 WHERE id = 4; COMMIT;
    ALTER TABLE customers DROP COLUMN name; INSERT INTO customers VALUES (2);
    ALTER TABLE strict DROP COLUMN v; INSERT INTO strict VALUES (2)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_followed_shown_and_remembered() -> Result<()> {
    let mut stage = Stage::start("changes").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let rules = "public.cust*:drop-column=apply,public.strict:halt,drop-table=apply";
    let wrong = stage.product.run(&["up", "--yes", "--on-schema-change", "public.strict:stop"]).await?;
    ensure!(!wrong.status.success() && wrong.stderr.contains("RULE_INVALID"), "{wrong}");
    stage.product.succeed(&["up", "--yes", "--until-caught-up", "--on-schema-change", rules]).await?;
    // Rules are remembered.
    let mut running = stage.product.up()?;
    stage.live(&mut running).await?;
    // Behind its preflight, which would miss what is dropped in the middle of it.
    stage.source.execute(DATABASE, "INSERT INTO customers VALUES (9, 'Bob')").await?;
    let follows = || async { (stage.target_count("customers").await.ok()? == 2).then_some(()) };
    running.until("it follows", PATIENCE, follows).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    let expected = [("strict".to_owned(), "SCHEMA_CHANGED".to_owned())];
    running
        .until("one table is halted", PATIENCE, || async {
            (stage.quarantined().await.ok()? == expected).then_some(())
        })
        .await?;
    stage.caught_up(&mut running, "INSERT INTO customers VALUES (3)").await?;
    let compared = stage.compare(&["customers"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    let verify = stage.product.run(&["verify", "--tables", "orders", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&verify.stdout).with_context(|| verify.to_string())?;
    ensure!(report["differences"] == 0 && report["tables"][0]["source_rows"] == 101, "{report:#}");
    running
        .until("the table is dropped", PATIENCE, || async {
            stage.target_count("gone").await.is_err().then_some(())
        })
        .await?;
    // What was dropped at the source is kept, and new rows have nothing in it.
    let orders = stage.target_table("orders");
    let notes = format!("SELECT [note], COUNT(*) FROM {orders} GROUP BY [note] ORDER BY [note]");
    let response = stage.target().await?.batch(&notes).await?;
    let notes: Vec<_> = response.sets.iter().flat_map(|set| &set.rows).map(|row| row[0].clone()).collect();
    let text = |text: &str| Datum::Text(text.to_owned());
    ensure!(notes == [Datum::Null, text("before"), text("note")], "{notes:?}");

    let status = stage.product.succeed(&["status", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&status.stdout).with_context(|| status.to_string())?;
    let changes = report["schema_changes"].as_array().context("the last changes")?;
    let seen: Vec<String> = changes
        .iter()
        .map(|change| format!("{} {}", change["kind"], change["outcome"]).replace('"', ""))
        .collect();
    let expected = [
        "drop-column applied",
        "change-type applied",
        "drop-column ignored",
        "change-key applied",
        "change-key applied",
        "add-column applied",
        "rename-column applied",
    ];
    let (gone, others): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|change| change == "drop-table applied");
    ensure!(gone.len() == 1 && others == expected, "{report:#}");
    let shown = stage.product.succeed(&["status", "-o", "wide"]).await?;
    for words in [
        "column \"customer\" was renamed to \"buyer\"",
        "the target keeps what rows have in [note]",
        "old rows are named by (\"id\", \"buyer\") and were by nothing; the target's key is made anew",
        "the table was dropped; dbo.gone is dropped",
        "column \"v\" was dropped (drop-column)",
        "EXEC sp_rename N'[dbo].[orders].[customer]', N'buyer', N'COLUMN'",
    ] {
        ensure!(shown.stdout.contains(words), "{words}: {shown}");
    }
    drop(running);
    let plan = stage.product.succeed(&["plan", "-o", "json"]).await?;
    let plan: Value = serde_json::from_str(&plan.stdout).with_context(|| plan.to_string())?;
    ensure!(plan["rules"]["on_schema_change"][1] == "public.strict:halt", "{plan:#}");
    Ok(())
}
