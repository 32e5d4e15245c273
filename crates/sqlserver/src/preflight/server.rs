//! The server and its database.

use segcdc_model::{Finding, MssqlType, Side};
use segcdc_plan::{ColumnPlan, TablePlan};
use segcdc_tds::Datum;

use super::Names;
use crate::error::TargetError;
use crate::quote;
use crate::session::Target;
use crate::sql;

/// Major version of SQL Server 2017, the oldest that is supported.
const OLDEST_MAJOR: u32 = 14;

/// `EngineEdition` of Azure SQL Database and of a managed instance, whose version number stands still.
const AZURE_EDITIONS: [i64; 2] = [5, 8];

/// Major version of SQL Server 2019, the first with UTF-8 collations.
const UTF8_MAJOR: u32 = 15;

/// Compatibility level below which the optimizer is older than SQL Server 2016's.
const LOW_COMPATIBILITY: i64 = 130;

/// What `sys.databases` says of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Database {
    name: String,
    compatibility_level: i64,
    collation: String,
    read_only: bool,
    delayed_durability: String,
    row_versions: bool,
    recovery_model: String,
}

/// Asks the server about itself and its database.
pub(super) async fn check(target: &mut Target, findings: &mut Vec<Finding>) -> Result<Names, TargetError> {
    let during = "asking the target about itself";
    let rows = target.query(during, sql::session::SERVER).await?;
    let server = rows.first().map(Vec::as_slice).unwrap_or_default();
    let json = int(server, 6) != 0;
    let utf8 = AZURE_EDITIONS.contains(&int(server, 2)) || major(&text(server, 0)) >= Some(UTF8_MAJOR);
    let names = Names { database: text(server, 3), user: text(server, 4), utf8, json };
    let babelfish = server.get(5).and_then(Datum::as_text);
    findings.push(match babelfish {
        Some(release) => self::babelfish(release),
        None => version(&text(server, 0), &text(server, 1), int(server, 2)),
    });
    let rows = target.query(during, sql::session::DATABASE).await?;
    let Some(row) = rows.first() else {
        let detail = "sys.databases does not show the current database".to_owned();
        return Err(TargetError::Answer { during, detail });
    };
    let database = Database {
        name: names.database.clone(),
        compatibility_level: int(row, 0),
        collation: text(row, 1),
        read_only: int(row, 2) != 0 || text(row, 7).eq_ignore_ascii_case("READ_ONLY"),
        delayed_durability: text(row, 3),
        row_versions: int(row, 5) != 0,
        recovery_model: text(row, 6),
    };
    // Babelfish has no compatibility levels to choose from: it shows the same one for every database.
    let fixed = babelfish.map(|_| "ms.compatibility_level");
    findings.extend(switches(&database).into_iter().filter(|finding| Some(finding.check.as_str()) != fixed));
    Ok(names)
}

/// Babelfish speaks TDS and T-SQL, but is PostgreSQL below: it calls itself SQL Server 12, which says nothing of it.
fn babelfish(release: &str) -> Finding {
    let detail = format!("Babelfish {release}, which is not SQL Server");
    Finding::warning("ms.version", Side::Target, "TARGET_BABELFISH", detail).hint(
        "replication works; see docs/reference/tested-on.md for the releases that were tried and for what is different there",
    )
}

fn version(version: &str, edition: &str, engine: i64) -> Finding {
    let check = "ms.version";
    let described = format!("{version} ({edition})");
    if AZURE_EDITIONS.contains(&engine) || major(version) >= Some(OLDEST_MAJOR) {
        return Finding::ok(check, Side::Target, described);
    }
    Finding::failure(check, Side::Target, "TARGET_VERSION", described)
        .hint("SQL Server 2017 (14.0) or later, or Azure SQL Database, is needed")
}

/// The number in front of the first point.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// Says which columns the server cannot have: varchar in UTF-8 came with SQL Server 2019, json with SQL Server 2025.
pub(super) fn types(names: &Names, table: &TablePlan) -> Vec<Finding> {
    let column =
        |is_wanted: fn(MssqlType) -> bool| table.columns.iter().find(|column| is_wanted(column.mssql_type));
    let detail = |column: &ColumnPlan, with: &str| {
        let (name, source, wanted) = (&column.source_name, &table.source.name, column.mssql_type);
        format!("column \"{name}\" of {source} would be {wanted}{with}, which the server has not")
    };
    let mut findings = Vec::new();
    if let (false, Some(column)) =
        (names.utf8, column(|mssql_type| matches!(mssql_type, MssqlType::VarChar { .. })))
    {
        let detail = detail(column, " with a UTF-8 collation");
        findings.push(Finding::failure("ms.types", Side::Target, "TARGET_TYPE_UNKNOWN", detail).hint(
            "UTF-8 came with SQL Server 2019 (15.0): give the column an nvarchar(n) by --type, or no rule",
        ));
    }
    if let (false, Some(column)) = (names.json, column(|mssql_type| mssql_type == MssqlType::Json)) {
        let detail = detail(column, "");
        findings.push(Finding::failure("ms.types", Side::Target, "TARGET_TYPE_UNKNOWN", detail).hint(
            "json came with SQL Server 2025 (17.0) and Azure SQL Database: give the column no rule, and nvarchar(max) holds \
             the exact text",
        ));
    }
    findings
}

fn switches(database: &Database) -> Vec<Finding> {
    let alter = |setting: &str| format!("ALTER DATABASE {} SET {setting}", quote::name(&database.name));
    let mut findings = Vec::new();
    let level = database.compatibility_level;
    findings.push(if level >= LOW_COMPATIBILITY {
        Finding::ok("ms.compatibility_level", Side::Target, level.to_string())
    } else {
        let detail = format!("the database runs at compatibility level {level}");
        Finding::warning("ms.compatibility_level", Side::Target, "LOW_COMPATIBILITY_LEVEL", detail)
            .hint(
                "everything works; a higher level gives better plans, but may change other applications' too",
            )
            .fix(alter("COMPATIBILITY_LEVEL = 140"))
    });
    findings.push(if database.read_only {
        Finding::failure(
            "ms.writable",
            Side::Target,
            "TARGET_READ_ONLY",
            format!("database {} is read-only, or a secondary replica", database.name),
        )
        .hint("give the primary's address, or make the database writable")
        .fix(alter("READ_WRITE"))
    } else {
        Finding::ok("ms.writable", Side::Target, format!("database {} can be written to", database.name))
    });
    findings.push(Finding::ok("ms.collation", Side::Target, collation(&database.collation)));
    findings.push(if database.delayed_durability.eq_ignore_ascii_case("FORCED") {
        Finding::failure(
            "ms.delayed_durability",
            Side::Target,
            "DELAYED_DURABILITY",
            "DELAYED_DURABILITY is FORCED: what was committed may be lost in a crash, after the source has forgotten it",
        )
        .hint("let transactions choose; those of the pipeline are always durable")
        .fix(alter("DELAYED_DURABILITY = ALLOWED"))
    } else {
        let detail = "what is committed is on disk".to_owned();
        Finding::ok("ms.delayed_durability", Side::Target, detail)
    });
    let readers = match database.row_versions {
        true => "READ_COMMITTED_SNAPSHOT is on: readers never wait for a batch",
        false => "READ_COMMITTED_SNAPSHOT is off: readers wait while a batch is being applied",
    };
    findings.push(Finding::ok("ms.row_versions", Side::Target, readers));
    let logging = match database.recovery_model.to_ascii_uppercase().as_str() {
        "FULL" => {
            "recovery model FULL: the first copy is logged in full, so the log needs about the tables' size"
        }
        _ => "the first copy is logged minimally",
    };
    findings.push(Finding::ok("ms.recovery_model", Side::Target, logging));
    findings
}

fn collation(name: &str) -> String {
    let words: Vec<&str> = name.split('_').collect();
    if words.contains(&"CI") {
        format!("{name}: text compares without case, except in keys, which get a binary collation")
    } else {
        format!("{name}; keys get a binary collation")
    }
}

fn text(row: &[Datum], index: usize) -> String {
    row.get(index).and_then(Datum::as_text).unwrap_or_default().to_owned()
}

fn int(row: &[Datum], index: usize) -> i64 {
    row.get(index).and_then(Datum::as_int).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{Length, Severity};

    #[test]
    fn old_versions_are_refused_and_azure_is_not_old() {
        let severity = |text: &str, engine| version(text, "Standard", engine).severity;
        assert_eq!(severity("13.0.5026.0", 3), Severity::Failure);
        assert_eq!(severity("14.0.1000.169", 3), Severity::Ok);
        assert_eq!(severity("17.0.700.9", 2), Severity::Ok);
        assert_eq!(severity("12.0.2000.8", 5), Severity::Ok);
        assert_eq!(severity("", 3), Severity::Failure);
        assert_eq!(version("13.0.5026.0", "Standard", 3).code, "TARGET_VERSION");
    }

    #[test]
    fn types_of_newer_servers_need_a_server_that_has_them() {
        let names = |utf8, json| Names { database: "d".to_owned(), user: "u".to_owned(), utf8, json };
        let mut plan =
            TablePlan::clone(&crate::fixture::table(1, "t", 1, &[("id", segcdc_model::PgType::Int4, true)]));
        assert_eq!(types(&names(false, false), &plan), []);
        for (mssql_type, has, has_not, shown) in [
            (
                MssqlType::VarChar { length: Length::Limited(40) },
                names(true, false),
                names(false, true),
                "varchar(40) with",
            ),
            (MssqlType::Json, names(false, true), names(true, false), "json, which"),
        ] {
            plan.columns[0].mssql_type = mssql_type;
            assert_eq!(types(&has, &plan), []);
            let found = types(&has_not, &plan);
            let [found] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((found.severity, found.code.as_str()), (Severity::Failure, "TARGET_TYPE_UNKNOWN"));
            assert!(
                found.detail.contains(&format!("column \"id\" of public.t would be {shown}")),
                "{}",
                found.detail
            );
        }
    }

    #[test]
    fn babelfish_is_told_apart_and_let_in() {
        let finding = babelfish("4.4.0");
        assert_eq!((finding.severity, finding.code.as_str()), (Severity::Warning, "TARGET_BABELFISH"));
        assert_eq!(finding.detail, "Babelfish 4.4.0, which is not SQL Server");
    }

    #[test]
    fn switches_that_lose_data_are_failures_with_their_fix() {
        let good = Database {
            name: "it's]db".to_owned(),
            compatibility_level: 150,
            collation: "SQL_Latin1_General_CP1_CI_AS".to_owned(),
            read_only: false,
            delayed_durability: "DISABLED".to_owned(),
            row_versions: false,
            recovery_model: "FULL".to_owned(),
        };
        assert!(switches(&good).iter().all(|finding| finding.severity == Severity::Ok));
        let bad = Database {
            compatibility_level: 110,
            read_only: true,
            delayed_durability: "FORCED".to_owned(),
            ..good
        };
        let codes = |severity| {
            let found = switches(&bad).into_iter().filter(move |finding| finding.severity == severity);
            found.map(|finding| (finding.code, finding.fix_sql.join("; "))).collect::<Vec<_>>()
        };
        let fix = |setting: &str| format!("ALTER DATABASE [it's]]db] SET {setting}");
        assert_eq!(
            codes(Severity::Failure),
            [
                ("TARGET_READ_ONLY".to_owned(), fix("READ_WRITE")),
                ("DELAYED_DURABILITY".to_owned(), fix("DELAYED_DURABILITY = ALLOWED")),
            ]
        );
        assert_eq!(
            codes(Severity::Warning),
            [("LOW_COMPATIBILITY_LEVEL".to_owned(), fix("COMPATIBILITY_LEVEL = 140"))]
        );
    }
}
