//! Databases in other encodings than UTF8: names and values arrive as Unicode; those without any encoding are refused.

use anyhow::{Context, Result, ensure};
use segcdc_sqlserver::TargetConfig;
use segcdc_tds::Datum;
use segcdc_testkit::{PostgresOptions, locale};

use super::super::independent;
use super::super::product::Product;
use super::super::stage::{DATABASE, Stage};

/// An encoding, a name that needs it, and text.
const ENCODINGS: [(&str, &str, &str); 8] = [
    ("latin1", "größe", "àéîõü ß ÿ"),
    ("latin2", "źródło", "ąćęłńóśźż ŠŤŽ"),
    ("iso_8859_7", "τιμή", "αβγδε Ώ"),
    ("win1251", "цена", "Съешь же ещё №"),
    ("win1252", "naïve", "“quoted” €—…"),
    ("koi8r", "имя", "Юникод ═║"),
    ("euc_jp", "名前", "日本語 カタカナ ｶﾀｶﾅ 丂"),
    ("euc_kr", "이름", "한국어 가나다"),
];

/// Every character beyond ASCII of a single-byte encoding: those that its server can tell in Unicode.
const REPERTOIRE: &str = "DO $$ BEGIN FOR code IN 128..255 LOOP BEGIN \
       PERFORM convert(convert_to(chr(code), getdatabaseencoding()), getdatabaseencoding(), 'UTF8'); \
       INSERT INTO repertoire VALUES (code + current_setting('matrix.first')::int, chr(code)); \
     EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$";

/// Tables whose names and labels need the encoding, and rows with its text.
fn setup(name: &str, text: &str) -> String {
    format!(
        "CREATE TYPE \"{name}_type\" AS ENUM ('{name}', 'x'); \
         CREATE TABLE \"{name}\" (\"{name}_id\" int PRIMARY KEY, \"{name}\" text, list text[], short varchar(60), \
           label \"{name}_type\", padded char(20), doc jsonb); \
         CREATE TABLE repertoire (code int PRIMARY KEY, letter text); \
         CREATE TABLE keyed (k text PRIMARY KEY, n int); \
         INSERT INTO keyed VALUES ('{name}', 1), ('{text}', 1); {}",
        rows(name, text, 1)
    )
}

/// Two rows.
fn rows(name: &str, text: &str, first: i32) -> String {
    format!(
        "INSERT INTO \"{name}\" VALUES ({first}, '{text}', ARRAY['{text}', NULL], '{name}', '{name}', '{name}', \
           jsonb_build_object('{name}', '{text}')); \
         INSERT INTO \"{name}\" (\"{name}_id\", \"{name}\") VALUES ({}, repeat('{text}', 5000)); \
         SET matrix.first = '{first}000'; {REPERTOIRE};",
        first + 1
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_of_other_encodings_arrive_as_unicode() -> Result<()> {
    let stage = Stage::start("matrix_encodings").await?;
    let separator = if stage.target_url.contains('?') { '&' } else { '?' };
    let mut characters = 0;
    for (encoding, name, text) in ENCODINGS {
        let create =
            format!("CREATE DATABASE in_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        stage.source.execute("postgres", &create).await?;
        let database = format!("in_{encoding}");
        let client = stage.source.connect(&database).await?;
        client.batch_execute(&setup(name, text)).await.with_context(|| encoding.to_owned())?;
        let target_url = format!("{}{separator}schema=enc_{encoding}", stage.target_url);
        let target = TargetConfig::parse(&target_url)?;
        let mut product = Product::new(encoding, &stage.source.url(&database), &target_url)?;
        product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        let tables = [name, "repertoire", "keyed"];
        let copied = independent::compare(&stage.source, &database, &target, &tables).await?;
        ensure!(copied.equal, "{encoding} by the copy: {copied:#?}");
        let changes = format!(
            "{} UPDATE keyed SET n = 2; UPDATE keyed SET k = k || ' {name}'; DELETE FROM \"{name}\" WHERE \"{name}_id\" = 1; \
             ALTER TYPE \"{name}_type\" ADD VALUE '{name}_2'",
            rows(name, text, 3)
        );
        client.batch_execute(&changes).await.with_context(|| encoding.to_owned())?;
        client.batch_execute(&format!("UPDATE \"{name}\" SET label = '{name}_2'")).await?;
        product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
        let streamed = independent::compare(&stage.source, &database, &target, &tables).await?;
        ensure!(streamed.equal, "{encoding} by the stream: {streamed:#?}");
        let verify = product.succeed(&["verify"]).await?;
        ensure!(verify.stdout.contains("differences: 0"), "{encoding}: {verify}");
        characters += streamed.tables.get(1).context("the repertoire")?.source_rows;
    }
    ensure!(characters > 1000, "hardly a character was compared: {characters}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_without_an_encoding_are_refused() -> Result<()> {
    let stage = Stage::start("matrix_ascii").await?;
    for encoding in ["SQL_ASCII", "MULE_INTERNAL"] {
        let database = encoding.to_lowercase();
        let create =
            format!("CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        stage.source.execute("postgres", &create).await?;
        let mut product = Product::new(&database, &stage.source.url(&database), &stage.target_url)?;
        let client = stage.source.connect(&database).await;
        // A driver that insists on UTF8 is refused by MULE_INTERNAL; psql is not.
        drop(client);
        stage.source.psql(&database, "CREATE TABLE t (id int PRIMARY KEY, word text)")?;
        let finished = product.run(&["up", "--yes", "--until-caught-up"]).await?;
        ensure!(matches!(finished.status.code(), Some(1 | 2)), "{encoding}: {finished}");
        ensure!(finished.stderr.contains("SOURCE_ENCODING"), "{encoding}: {finished}");
        ensure!(stage.slots().await?.is_empty(), "{encoding}: something was made");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_without_a_unicode_form_halts_its_table_by_the_copy_and_all_by_the_stream() -> Result<()> {
    let mut stage = Stage::start("matrix_untold").await?;
    stage
        .source
        .execute("postgres", "CREATE DATABASE untold ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0")
        .await?;
    // 0x81 is no character of WIN1252, but the server takes it.
    let setup = "CREATE TABLE bad (id int PRIMARY KEY, word text); INSERT INTO bad VALUES (1, chr(129)); \
         CREATE TABLE good (id int PRIMARY KEY, word text); INSERT INTO good VALUES (1, '€')";
    stage.source.execute("untold", setup).await?;
    let url = stage.source.url("untold");
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    let finished = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(finished.stderr.contains("[SOURCE_ENCODING]"), "{finished}");
    let phases = "SELECT COUNT(*) FROM [segcdc].[pipeline_table] WHERE [pipeline] = N'matrix_untold' AND";
    ensure!(
        stage.target_number(&format!("{phases} [error_code] = N'SOURCE_ENCODING'")).await? == 1,
        "{finished}"
    );
    ensure!(stage.target_number(&format!("{phases} [phase] = N'STREAMING'")).await? == 1, "{finished}");
    ensure!(stage.target_count("good").await? == 1, "the good table was not copied");
    stage.source.execute("untold", "INSERT INTO good VALUES (2, chr(141))").await?;
    let finished = stage.product.run(&["up", "--yes", "--until-caught-up"]).await?;
    ensure!(finished.error_code() == Some("SOURCE_ENCODING"), "{finished}");
    ensure!(stage.target_count("good").await? == 1, "a row arrived that cannot have");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_a_database_of_yen_is_not_divided() -> Result<()> {
    if !locale::can_make() {
        eprintln!("skipped, this machine has no localedef, or no locales to make");
        return Ok(());
    }
    let options = PostgresOptions { locales: vec!["ja_JP.UTF-8".to_owned()], ..PostgresOptions::default() };
    let mut stage = Stage::start_with("matrix_yen", options).await?;
    let setup = format!(
        "ALTER DATABASE {DATABASE} SET lc_monetary = 'ja_JP.UTF-8'; \
         CREATE TABLE prices (amount money PRIMARY KEY, list money[])"
    );
    stage.source.execute(DATABASE, &setup).await?;
    stage.source.execute(DATABASE, "INSERT INTO prices VALUES ('￥123,456', ARRAY['￥1'::money])").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    stage.source.execute(DATABASE, "INSERT INTO prices VALUES ('-￥7', NULL)").await?;
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let sql = format!("SELECT [amount] FROM {} ORDER BY [amount]", stage.target_table("prices"));
    let response = stage.target().await?.batch(&sql).await?;
    let found: Vec<_> =
        response.sets.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()).collect();
    let amount = |negative, magnitude| Datum::Decimal { negative, magnitude, precision: 19, scale: 0 };
    ensure!(found == [&amount(true, 7), &amount(false, 123_456)], "{found:?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    Ok(())
}
