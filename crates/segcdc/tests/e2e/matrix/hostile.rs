//! Whatever a role or a database has set, values and commands are what they are.

use std::fmt::Write;

use anyhow::{Result, ensure};
use segcdc_testkit::{PostgresOptions, locale};

use super::super::stage::{DATABASE, Stage};
use super::{cases, round_trip};

/// Settings that change what values look like, harmless to a test's own sessions: for the whole database.
const FORMS: [(&str, &str); 12] = [
    ("DateStyle", "'German, DMY'"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "'Asia/Kolkata'"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("client_encoding", "LATIN1"),
    ("xmlbinary", "hex"),
    ("quote_all_identifiers", "on"),
    ("default_text_search_config", "'pg_catalog.german'"),
    ("enable_seqscan", "off"),
    ("enable_tidscan", "off"),
    ("wal_sender_timeout", "'2s'"),
];

/// Settings that end sessions, hide rows or names, or change what SQL means: for the pipeline's role.
const TRAPS: [(&str, &str); 24] = [
    ("search_path", "hidden, public"),
    ("xmloption", "document"),
    ("array_nulls", "off"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "1"),
    ("lock_timeout", "1"),
    ("idle_in_transaction_session_timeout", "1"),
    ("idle_session_timeout", "1"),
    ("row_security", "on"),
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "on"),
    ("escape_string_warning", "on"),
    ("transform_null_equals", "on"),
    ("client_min_messages", "debug1"),
    ("synchronous_commit", "off"),
    ("enable_indexscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("jit_above_cost", "0"),
    ("work_mem", "'64kB'"),
    ("logical_decoding_work_mem", "'64kB'"),
    ("session_replication_role", "replica"),
];

/// Names that the product's own SQL would hit if it did not say which ones it means.
const HIDDEN: &str = "CREATE SCHEMA hidden; CREATE TABLE hidden.pg_class (oid oid, relname name); \
     CREATE TABLE hidden.pg_publication (oid oid, pubname name); \
     CREATE FUNCTION hidden.concat(VARIADIC \"any\") RETURNS text LANGUAGE internal AS 'text_concat_ws'; \
     CREATE FUNCTION hidden.current_database() RETURNS name LANGUAGE sql AS 'SELECT ''nowhere''::name'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_settings_change_nothing() -> Result<()> {
    let mut options = PostgresOptions::default().setting("log_replication_commands", "on");
    let (mut forms, mut traps) = (FORMS.to_vec(), TRAPS.to_vec());
    if locale::can_make() {
        options.locales = vec!["de_DE.UTF-8".to_owned()];
        forms.extend(["lc_numeric", "lc_time", "lc_messages"].map(|name| (name, "'de_DE.UTF-8'")));
        // What money means is the database's to say, and not hidden by what the role has set.
        traps.push(("lc_monetary", "'de_DE.UTF-8'"));
    } else {
        eprintln!("without settings of lc_*: this machine has no localedef, or no locales to make");
    }
    let mut stage = Stage::start_with("matrix_hostile", options).await?;
    let mut cases = cases::prepare(&stage.source, DATABASE).await?;
    cases::leave_out_large(&mut cases);
    let mut sql = format!(
        "{HIDDEN}; ALTER DATABASE {DATABASE} SET lc_monetary = 'C'; CREATE ROLE hostile LOGIN SUPERUSER REPLICATION;"
    );
    for (name, value) in &forms {
        write!(sql, "ALTER DATABASE {DATABASE} SET {name} = {value};")?;
    }
    for (name, value) in forms.iter().chain(&traps) {
        write!(sql, "ALTER ROLE hostile SET {name} = {value};")?;
        write!(sql, "ALTER ROLE hostile IN DATABASE {DATABASE} SET {name} = {value};")?;
    }
    stage.source.execute(DATABASE, &sql).await?;
    let url = stage.source.url_as("hostile", DATABASE);
    stage.product.set("SEGCDC_SOURCE_URL", &url);
    round_trip(&mut stage, &cases, false).await?;
    for command in [&["doctor"][..], &["plan"], &["status"], &["slot"]] {
        stage.product.succeed(command).await?;
    }
    stage.remove().await?;
    ensure!(stage.slots().await?.is_empty(), "the slot is left");
    Ok(())
}
