//! Tables without a key: bags, in which equal rows are as many at the target as at the source.

use anyhow::{Result, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::stage::{DATABASE, Stage};

/// Bags, and one that is also keyed to see that both go in one transaction. `near` has contents that SQL Server compares as
/// equal: by trailing blanks, case, trailing zero bytes, the sign of zero.
const BAGS: &str = "
    CREATE TABLE near (t text, c varchar(9), b bytea, f float8, r real, n numeric(12,3), at timestamptz);
    CREATE TABLE wide (t text, j jsonb, b bytea);
    CREATE TABLE twin (i int, d date);
    CREATE TABLE keyed (id int PRIMARY KEY, v text);
    ALTER TABLE near REPLICA IDENTITY FULL; ALTER TABLE wide REPLICA IDENTITY FULL; ALTER TABLE twin REPLICA IDENTITY FULL;
    ALTER TABLE wide ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
    INSERT INTO near SELECT t, c, b, f, r, n, at FROM (VALUES ('a', 'x'), ('a ', 'x'), ('A', 'x '), ('', ''), (NULL, NULL)) a(t, c),
        (VALUES ('\\x01'::bytea), ('\\x0100'), (NULL)) b(b), (VALUES (0::float8, '-0'::real), ('-0', 0), (1.5, NULL), (NULL, 5e-39)) f(f, r),
        (VALUES (1.5, '2024-03-31 01:00Z'::timestamptz), (NULL, NULL)) n(n, at), generate_series(1, 3) copies;
    INSERT INTO wide SELECT repeat(chr(64 + i), 9000 + i % 2), jsonb_build_object('a', i % 2), decode(repeat('0' || i, 10000), 'hex')
        FROM generate_series(1, 4) i, generate_series(1, 3) copies;
    INSERT INTO twin SELECT i % 5, NULL FROM generate_series(1, 60) i;";

/// Statements of one row or of some equal ones: ctid picks one of several.
fn change(random: &mut SmallRng) -> String {
    let table = ["near", "near", "near", "wide", "twin"][random.random_range(0..5)];
    let skip = random.random_range(0..300);
    let rows = random.random_range(1..40);
    let some = format!(
        "ctid IN (SELECT ctid FROM {table} ORDER BY ctid OFFSET {skip} % greatest((SELECT count(*) FROM {table}), 1) LIMIT {rows})"
    );
    let set = match table {
        "near" => [
            "t = t || ' '",
            "t = rtrim(t)",
            "f = -f",
            "r = -r",
            "b = b || '\\x00'",
            "c = upper(c)",
            "n = n + 0.5",
            "at = at + '1 us'",
            "t = NULL",
        ][random.random_range(0..9)],
        "wide" => ["j = '{\"a\": 0}'", "t = left(t, 9000)", "b = b || '\\x00'", "j = NULL"]
            [random.random_range(0..4)],
        _ => ["i = i % 3", "d = '2024-02-29'", "d = NULL"][random.random_range(0..3)],
    };
    match random.random_range(0..6) {
        0 => format!("INSERT INTO {table} SELECT * FROM {table} WHERE {some}"),
        1 | 2 => format!("DELETE FROM {table} WHERE {some}"),
        _ => format!("UPDATE {table} SET {set} WHERE {some}"),
    }
}

const TABLES: [&str; 4] = ["near", "wide", "twin", "keyed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_rows_stay_as_many_as_they_are() -> Result<()> {
    let mut stage = Stage::start("bags").await?;
    stage.source.execute(DATABASE, BAGS).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let copied = stage.compare(&TABLES).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    let seed = rand::random::<u64>();
    let mut random = SmallRng::seed_from_u64(seed);
    for round in 0..4_u32 {
        let mut done = Vec::new();
        for number in 0..25 {
            let statement = change(&mut random);
            // Alone, it is one small batch or one large one; together they net out.
            let keyed = format!("INSERT INTO keyed VALUES ({}, 'x')", round * 100 + number);
            stage.source.execute(DATABASE, &format!("BEGIN; {statement}; {keyed}; COMMIT")).await?;
            done.push(statement);
            if round == 0 && number == 0 {
                stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
            }
        }
        stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        let streamed = stage.compare(&TABLES).await?;
        ensure!(streamed.equal, "seed {seed}, round {round}: {streamed:#?}\n{}", done.join(";\n"));
    }
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}

/// How many of the rows with this content the target has.
async fn rows(stage: &Stage, table: &str, condition: &str) -> Result<i64> {
    let table = stage.target_table(table);
    stage.target_number(&format!("SELECT COUNT(*) FROM {table} WHERE {condition}")).await
}

/// # Fault F21
/// A table without a key has rows that are equal in all columns.
/// - Happens: with REPLICA IDENTITY FULL each change takes effect on one of them, and their number stays right.
/// - Do: nothing; a key makes it faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_of_equal_rows_go_and_the_others_stay() -> Result<()> {
    let mut stage = Stage::start("bags_some").await?;
    let tables = "CREATE TABLE zeros (f float8, t text); ALTER TABLE zeros REPLICA IDENTITY FULL;
        INSERT INTO zeros SELECT f, 'x' FROM unnest(ARRAY[0, '-0']::float8[]) f, generate_series(1, 5);
        CREATE TABLE many (i int, t text); ALTER TABLE many REPLICA IDENTITY FULL;
        INSERT INTO many SELECT i, CASE WHEN i % 2 = 0 THEN 'even ' END FROM generate_series(1, 300) i, generate_series(1, 3);";
    stage.source.execute(DATABASE, tables).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    // -0 = 0 at both servers, but they are two values.
    let one = "DELETE FROM zeros WHERE ctid IN (SELECT ctid FROM zeros WHERE f::text = '-0' LIMIT $N)";
    stage.source.execute(DATABASE, &one.replace("$N", "2")).await?;
    let two = "DELETE FROM many WHERE ctid IN (SELECT (array_agg(ctid))[1] FROM many GROUP BY i)";
    stage.source.execute(DATABASE, two).await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let negative = "CONVERT(binary(8), [f]) = 0x8000000000000000";
    assert_eq!((rows(&stage, "zeros", "[f] = 0").await?, rows(&stage, "zeros", negative).await?), (8, 3));
    assert_eq!(rows(&stage, "many", "[i] = 7").await?, 2);
    let compared = stage.compare(&["zeros", "many"]).await?;
    ensure!(compared.equal, "{compared:#?}");
    // A row that is not there is no row to remove: the pipeline stops instead of taking another one.
    let many = stage.target_table("many");
    stage.target().await?.batch(&format!("DELETE FROM {many} WHERE [i] = 8")).await?;
    stage.source.execute(DATABASE, "DELETE FROM many WHERE i BETWEEN 1 AND 20").await?;
    let failed = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(failed.status.code() == Some(1) && failed.stderr.contains("TARGET_DIVERGED"), "{failed}");
    assert_eq!(rows(&stage, "many", "[i] = 9").await?, 2, "nothing of the batch took effect");
    Ok(())
}
