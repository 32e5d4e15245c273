//! Masked and constant columns: what the target has, what finds and mends differences of it, and that no value of a masked column is
//! anywhere behind the source.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio_postgres::Client;

use super::independent;
use super::observer;
use super::stage::{DATABASE, Stage};

/// What is in every value of a masked column, and must be nowhere else.
const CANARY: &str = "Plaintext";

/// The salt.
const SALT: &str = "a salt that is known to this test";

/// Each table with a view of what the target is to have of it, by an HMAC-SHA-256 of the source's own sha256.
const TABLES: &str = "
    CREATE FUNCTION hashed(text) RETURNS text IMMUTABLE LANGUAGE sql AS $f$
        SELECT encode(sha256('\\xOUTER'::bytea || sha256('\\xINNER'::bytea || convert_to($1, 'UTF8'))), 'hex') $f$;
    CREATE TABLE people (email text PRIMARY KEY, name text, phone text NOT NULL, born date, note text, seen int);
    ALTER TABLE people ALTER note SET STORAGE EXTERNAL;
    CREATE VIEW people_wanted AS SELECT hashed(email) AS email, left(name, 4) AS name, '***'::text AS phone, NULL::date AS born,
        hashed(note) AS note, seen, 'eu-west'::text AS region FROM people;
    CREATE TABLE visits (id int PRIMARY KEY, email text REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE, total numeric(10, 2));
    CREATE VIEW visits_wanted AS SELECT id, hashed(email) AS email, hashed(trim_scale(total)::text) AS total, 'eu-west'::text AS region,
        7 AS site FROM visits;
    CREATE TABLE bag (secret text, n int); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE VIEW bag_wanted AS SELECT hashed(secret) AS secret, n, 'eu-west'::text AS region FROM bag;
    CREATE TABLE odd (secret text PRIMARY KEY, at date);
    CREATE VIEW odd_wanted AS SELECT hashed(secret) AS secret, at, 'eu-west'::text AS region FROM odd WHERE at < 'infinity';
    INSERT INTO people SELECT 'Plaintext' || n || '@x', 'Plaintext ' || n, 'Plaintext', '2000-01-01',
        CASE WHEN n % 7 > 0 THEN repeat('Plaintext', n * 50) END, n FROM generate_series(1, 60) n;
    INSERT INTO people VALUES ('Plaintext large@x', E'\\U0001F980\\U0001F980\\U0001F980\\U0001F980Plaintext', 'Plaintext', NULL,
        repeat('Plaintext', 200000), 0);
    INSERT INTO visits SELECT n, 'Plaintext' || 1 + n % 60 || '@x', n / 4.0 FROM generate_series(1, 200) n;
    INSERT INTO bag SELECT 'Plaintext ' || n % 9, n % 3 FROM generate_series(1, 50) n;
    INSERT INTO odd VALUES ('Plaintext 1', '2000-01-01'), ('Plaintext 2', 'infinity');";

const CHANGES: &str = "
    UPDATE people SET name = 'Plaintext changed' WHERE seen % 2 = 1;
    UPDATE people SET email = 'Plaintext moved ' || seen || '@x' WHERE seen BETWEEN 10 AND 19;
    UPDATE people SET note = 'Plaintext note' WHERE seen BETWEEN 30 AND 33; DELETE FROM people WHERE seen BETWEEN 40 AND 43;
    UPDATE people SET seen = -1 WHERE email = 'Plaintext large@x';
    INSERT INTO people VALUES ('Plaintext new@x', 'Pl', 'Plaintext', '2000-01-01', repeat('PlaintextX', 150000), -2);
    UPDATE people SET email = 'Plaintext newer@x' WHERE email = 'Plaintext new@x';
    INSERT INTO visits VALUES (900, 'Plaintext newer@x', 1.50); UPDATE visits SET total = total * 2 WHERE id < 20;
    UPDATE bag SET n = 8 WHERE secret = 'Plaintext 4'; UPDATE bag SET secret = 'Plaintext 4' WHERE secret = 'Plaintext 5';
    DELETE FROM bag WHERE secret = 'Plaintext 6'; INSERT INTO bag VALUES ('Plaintext 7', 1), (NULL, 1);
    INSERT INTO odd VALUES ('Plaintext 3', 'infinity'), ('Plaintext 4', '2001-01-01');
    UPDATE odd SET secret = 'Plaintext 5' WHERE secret = 'Plaintext 1'; UPDATE odd SET at = '2002-01-01' WHERE secret = 'Plaintext 3';";

/// A column that gets another name, which its rule means too, and one that comes with a value that all rows have.
const SHAPES: &str = "
    ALTER TABLE people RENAME COLUMN note TO note_2; ALTER TABLE people ADD COLUMN note_3 text DEFAULT 'Plaintext default';
    INSERT INTO people VALUES ('Plaintext shape@x', 'x', 'Plaintext', NULL, 'Plaintext', -3, 'Plaintext');
    DROP VIEW people_wanted; CREATE VIEW people_wanted AS SELECT hashed(email) AS email, left(name, 4) AS name, '***'::text AS phone,
        NULL::date AS born, hashed(note_2) AS note_2, seen, hashed(note_3) AS note_3, 'eu-west'::text AS region FROM people;";

const RULES: [&str; 8] = [
    "--mask",
    "public.*.email=hash,public.people.name=truncate:4,public.people.phone=redact,public.people.born=redact",
    "--mask",
    "public.people.note*=hash,public.visits.total=hash,public.*.secret=hash",
    "--constant",
    "public.*.region=eu-west",
    "--constant",
    "public.visits.site:int=7",
];

const UP: [&str; 3] = ["up", "--yes", "--until-caught-up"];

/// [`TABLES`] with the pads of the salt.
fn tables() -> String {
    let pad = |with: u8| {
        let mut key = [0_u8; 64];
        key[..SALT.len()].copy_from_slice(SALT.as_bytes());
        key.iter().map(|byte| format!("{:02x}", byte ^ with)).collect::<String>()
    };
    TABLES.replace("OUTER", &pad(0x5C)).replace("INNER", &pad(0x36))
}

async fn ensure_as_wanted(stage: &Stage) -> Result<()> {
    let schema = stage.target.default_schema.as_str();
    let tables = ["people", "visits", "bag", "odd"];
    let names: Vec<(String, &str)> = tables.iter().map(|table| (format!("{table}_wanted"), *table)).collect();
    let pairs: Vec<_> = names.iter().map(|(view, table)| ["public", view.as_str(), schema, table]).collect();
    let compared = stage.compare_pairs(&pairs).await?;
    ensure!(
        compared.equal && stage.quarantined().await?.is_empty(),
        "{compared:#?} {:?}",
        stage.quarantined().await?
    );
    Ok(())
}

/// Looks for the canary, in any case, in all tables of the target, the state among them, and in all that was said.
async fn ensure_not_leaked(stage: &Stage) -> Result<()> {
    let said = stage.product.said(CANARY)?;
    ensure!(said.is_empty(), "{said:#?}");
    if stage.sandbox.is_none() {
        return Ok(());
    }
    let target = observer::back_door(stage).await?;
    let found = tables_with(&target, CANARY).await?;
    ensure!(found.is_empty(), "{found:?}");
    // What is to be there is found in the same way: tables, and the state with its rules.
    ensure!(tables_with(&target, "eu-west").await?.len() > 4, "the search finds nothing");
    Ok(())
}

/// The tables with a text in any of their rows, as it is or as bytes.
async fn tables_with(target: &Client, text: &str) -> Result<Vec<String>> {
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    for table in target.query(tables, &[]).await? {
        let table: String = table.get(0);
        let sql = format!(
            "SELECT count(*) FROM {table} t WHERE strpos(lower(t::text), lower($1)) > 0 OR strpos(t::text, $2) > 0"
        );
        if target.query_one(&sql, &[&text, &hex]).await?.get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    Ok(found)
}

/// What the verification of one table found: missing, extra, different.
fn found<'r>(report: &'r Value, table: &str) -> Result<[&'r Value; 3]> {
    let tables = report["tables"].as_array().context("tables")?;
    let table = tables.iter().find(|known| known["source"]["name"] == table).context("the table")?;
    Ok(["missing", "extra", "different"].map(|name| &table[name]))
}

/// The salt and the rules have to be what they were.
async fn ensure_salt_is_asked_for(stage: &mut Stage) -> Result<()> {
    stage.product.unset("SEGCDC_MASK_SALT");
    for command in [&UP[..], &["verify"], &["plan"]] {
        let refused = stage.product.run(command).await?;
        ensure!(
            refused.status.code() == Some(2) && refused.stderr.contains("MASK_SALT_MISSING"),
            "{refused}"
        );
    }
    stage.product.set("SEGCDC_MASK_SALT", "another salt, of another day");
    for command in [&UP[..], &["verify"]] {
        let refused = stage.product.run(command).await?;
        ensure!(
            refused.status.code() == Some(2) && refused.stderr.contains("MASK_SALT_CHANGED"),
            "{refused}"
        );
    }
    stage.product.set("SEGCDC_MASK_SALT", "short");
    let refused = stage.product.run(&UP).await?;
    ensure!(refused.status.code() == Some(2) && refused.stderr.contains("MASK_SALT_INVALID"), "{refused}");
    stage.product.unset("SEGCDC_MASK_SALT");
    stage.product.set("OTHER_SALT", SALT);
    stage.product.set("SEGCDC_MASK_SALT_ENV", "OTHER_SALT");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_values_reach_nothing_behind_the_source() -> Result<()> {
    let mut stage = Stage::start("masks").await?;
    stage.product.set("SEGCDC_LOG", "debug");
    stage.product.set("SEGCDC_ON_VALUE", "set_aside");
    stage.source.execute(DATABASE, &tables()).await?;
    let refused = stage.product.run(&[&UP[..], &RULES].concat()).await?;
    ensure!(refused.status.code() == Some(2) && refused.stderr.contains("MASK_SALT_MISSING"), "{refused}");
    stage.product.set("SEGCDC_MASK_SALT", SALT);
    let impossible =
        ["plan", "-o", "json", "--mask", "public.people.email=redact", "--constant", "public.visits.ID=x"];
    let plan = stage.product.run(&impossible).await?;
    ensure!(plan.stdout.contains("MASK_IMPOSSIBLE") && plan.stdout.contains("CONSTANT_IMPOSSIBLE"), "{plan}");

    let mut running = stage.product.start(&[&["up", "--yes"], &RULES[..]].concat())?;
    stage.live(&mut running).await?;
    ensure_as_wanted(&stage).await?;
    stage.source.execute(DATABASE, CHANGES).await?;
    stage.caught_up(&mut running, "INSERT INTO bag VALUES ('Plaintext', 901)").await?;
    ensure_as_wanted(&stage).await?;
    ensure_not_leaked(&stage).await?;
    running.kill().await?;
    stage.source.execute(DATABASE, SHAPES).await?;
    stage.product.succeed(&UP).await?;
    ensure_as_wanted(&stage).await?;
    let letters = stage.product.succeed(&["deadletter", "list", "-o", "json"]).await?;
    ensure!(letters.stdout.contains("VALUE_UNREPRESENTABLE"), "a letter of a masked row: {letters}");

    let verify = stage.product.succeed(&["verify", "-o", "json"]).await?;
    ensure!(serde_json::from_str::<Value>(&verify.stdout)?["equal"] == true, "{verify}");
    let (people, visits) = (stage.target_table("people"), stage.target_table("visits"));
    let planted = [
        (format!("UPDATE {people} SET [phone] = N'Plain' WHERE [seen] = 50"), 1),
        (format!("DELETE FROM {people} WHERE [seen] = 52"), 1),
        (format!("INSERT INTO {people} ([email], [phone], [region]) VALUES (N'extra', N'', N'')"), 1),
        (format!("UPDATE {visits} SET [region] = N'us' WHERE [id] = 3"), 1),
    ];
    independent::plant(&stage.target, &planted).await?;
    let verify = stage.product.run(&["verify", "-o", "json"]).await?;
    ensure!(verify.status.code() == Some(5), "{verify}");
    let report: Value = serde_json::from_str(&verify.stdout)?;
    ensure!(found(&report, "people")? == [&1.into(), &1.into(), &Value::from(1)], "{report:#}");
    ensure!(found(&report, "visits")? == [&0.into(), &0.into(), &Value::from(1)], "{report:#}");
    let repaired = stage.product.succeed(&["verify", "--repair", "--yes", "-o", "json"]).await?;
    ensure!(serde_json::from_str::<Value>(&repaired.stdout)?["equal"] == true, "{repaired}");
    ensure_as_wanted(&stage).await?;

    ensure_salt_is_asked_for(&mut stage).await?;
    // Other masks need another copy, of which plan says so.
    let fewer = [
        "--mask",
        "public.*.email=hash,public.people.note*=hash,public.*.secret=hash,public.people.phone=redact",
    ];
    let plan = stage.product.run(&[&["plan", "-o", "json"], &fewer[..]].concat()).await?;
    let report: Value = serde_json::from_str(&plan.stdout)?;
    let effect =
        report["effects"].as_array().context("effects")?.iter().find(|effect| effect["setting"] == "masks");
    ensure!(effect.is_some_and(|effect| effect["effect"] == "recopy"), "{report:#}");
    let refused = stage.product.run(&[&UP[..], &fewer].concat()).await?;
    ensure!(refused.stderr.contains("RULES_CHANGE_SHAPE"), "{refused}");
    let resync = ["table", "resync", "--yes", "--tables", "people,visits"];
    stage.product.succeed(&[&resync[..], &RULES[..4]].concat()).await?;
    stage.product.succeed(&UP).await?;
    ensure_as_wanted(&stage).await?;
    let export = stage.product.succeed(&["export"]).await?;
    ensure!(export.stdout.contains("masks:") && export.stdout.contains("constants:"), "{export}");
    ensure!(!export.stdout.contains(SALT) && stage.product.said(SALT)?.is_empty(), "{export}");
    ensure_not_leaked(&stage).await
}
