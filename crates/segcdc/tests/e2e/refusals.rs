//! What a user asks for and cannot have: each is refused by its code and with exit status 2, before anything is made.

use anyhow::{Result, ensure};

use super::stage::{DATABASE, Stage};

const TABLES: &str = "
    CREATE TABLE t (id int PRIMARY KEY, n numeric(20, 4), note text);
    CREATE VIEW v AS SELECT * FROM t;
    CREATE TABLE nothing (id int); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE PUBLICATION empty; CREATE PUBLICATION of_other FOR TABLE other;
    CREATE PUBLICATION inserts FOR TABLE t WITH (publish = 'insert');";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_by_its_code() -> Result<()> {
    let mut stage = Stage::start("refusals").await?;
    stage.source.execute(DATABASE, TABLES).await?;
    let long = format!("public.t=dbo.{}", "t".repeat(129));
    let slot = "s".repeat(64);
    let only_t = ["--tables", "public.t"];
    let of_t = |rule: [&'static str; 2]| [only_t, rule].concat();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec!["--tables", "public.nowhere"], "TABLE_NOT_FOUND"),
        (vec!["--tables", "public.T"], "TABLE_NOT_FOUND"),
        (vec!["--tables", "nowhere.*"], "NO_TABLES_MATCHED"),
        (vec!["--tables", "public.v"], "TABLE_NOT_STREAMABLE"),
        (vec!["--tables", "public.v", "--tables", "public.t"], "TABLE_NOT_STREAMABLE"),
        (vec!["--tables", "public.nothing", "--tables", "public.t"], "NO_REPLICA_IDENTITY"),
        (vec!["--exclude", "public.*"], "NO_TABLES_MATCHED"),
        (vec!["--exclude", "public.nowhere"], "TABLE_NOT_FOUND"),
        (of_t(["--type", "public.t.n=int"]), "TYPE_NARROWS"),
        (of_t(["--type", "public.t.note=varbinary(10)"]), "TYPE_IMPOSSIBLE"),
        (of_t(["--type", "public.t.note=nonsense"]), "RULE_INVALID"),
        (of_t(["--columns", "public.t=(note)"]), "COLUMN_CHOICE_IMPOSSIBLE"),
        (of_t(["--columns", "public.t=(id, nowhere)"]), "COLUMN_CHOICE_IMPOSSIBLE"),
        (of_t(["--exclude-columns", "public.t.id"]), "COLUMN_CHOICE_IMPOSSIBLE"),
        (of_t(["--key", "public.t=nowhere"]), "KEY_UNUSABLE"),
        (of_t(["--rename", "public.t.n=note"]), "COLUMN_NAME_CLASH"),
        (vec!["--rename", "public.t=dbo.other", "--rename", "public.other=dbo.other"], "DUPLICATE_MAPPING"),
        (vec!["--tables", "public.t", "--rename", &long], "IDENTIFIER_INVALID"),
        (vec!["--rename", "public.t=a.b.c.d"], "RULE_INVALID"),
        (vec!["--where", "public.t: nowhere > 1"], "ROW_FILTER_INVALID"),
        (vec!["--slot", "My-Slot", "--snapshot", "none"], "SLOT_NAME"),
        (vec!["--slot", &slot, "--snapshot", "none"], "SLOT_NAME"),
        (vec!["--slot", "Größe", "--snapshot", "none"], "SLOT_NAME"),
        (vec!["--slot", "s"], "SLOT_WITH_SNAPSHOT"),
        (vec!["--slot", "nowhere", "--snapshot", "none"], "SLOT_MISSING"),
        (vec!["--publication", "nowhere"], "PUBLICATION_MISSING"),
        (vec!["--publication", "empty", "--tables", "public.t"], "TABLE_UNPUBLISHED"),
        (vec!["--publication", "empty"], "NO_TABLES_MATCHED"),
        (vec!["--publication", "of_other", "--tables", "public.t"], "TABLE_UNPUBLISHED"),
        (vec!["--publication", "inserts", "--tables", "public.t"], "PUBLICATION_ACTIONS"),
        (vec!["--name", "No Name"], "NAME_INVALID"),
    ];
    let mut wrong = Vec::new();
    for (rules, code) in cases {
        let ended = stage.product.run(&[&["up", "--yes", "--until-caught-up"], &rules[..]].concat()).await?;
        if (ended.status.code(), ended.error_code()) != (Some(2), Some(code)) {
            wrong.push(format!("{rules:?} {code}: {ended}"));
        }
    }
    let none = stage.product.run(&["plan", "--post-load", "--tables", "nowhere.*"]).await?;
    if (none.status.code(), none.error_code()) != (Some(2), Some("NO_TABLES")) {
        wrong.push(format!("NO_TABLES: {none}"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let made = stage.target_number("SELECT COUNT(*) FROM [sys].[schemas] WHERE [name] = N'segcdc'").await?;
    ensure!(stage.slots().await?.is_empty() && made == 0, "nothing was made");
    let publications = stage.source().await?.query("SELECT pubname FROM pg_publication", &[]).await?;
    ensure!(publications.len() == 3, "no publication was made");
    Ok(())
}
