//! Golden translations: what PostgreSQL is asked for the statements that matter most.

use std::sync::Arc;

use segcdc_tds::{ColumnType, Len};

use super::{Names, translate};
use crate::sql::ast::ObjectName;
use crate::sql::collation::Collate;
use crate::sql::parser;
use crate::sql::table::{Column, Table, same_name};

/// `dbo.t (k nvarchar(50) BIN2 not null, v int, w nvarchar(max), b varbinary(20), o datetimeoffset(6))` and
/// `#s (op tinyint, k1 nvarchar(50) BIN2, c1 int, c2 nvarchar(100) BIN2)`.
struct Fixed;

fn column(column_id: i32, name: &str, column_type: ColumnType, collation: Option<&str>) -> Column {
    Column {
        column_id,
        name: name.to_owned(),
        physical: format!("c{column_id}"),
        column_type,
        collation: collation.map(|name| Collate::by_name(name).unwrap()),
        nullable: name != "k",
        identity: false,
        default: None,
    }
}

fn table(name: &str, relation: &str, columns: Vec<Column>) -> Arc<Table> {
    Arc::new(Table {
        object_id: 1,
        schema: "dbo".to_owned(),
        name: name.to_owned(),
        relation: relation.to_owned(),
        columns,
        indexes: Vec::new(),
        system: false,
    })
}

impl Names for Fixed {
    fn table(&self, name: &ObjectName) -> Option<Arc<Table>> {
        let (bin2, default) = (Some("Latin1_General_100_BIN2"), Some("SQL_Latin1_General_CP1_CI_AS"));
        let text = |units| ColumnType::NVarChar(Len::Limited(units));
        if same_name(&name.name, "t") {
            let columns = vec![
                column(1, "k", text(50), bin2),
                column(2, "v", ColumnType::Int, None),
                column(3, "w", ColumnType::NVarChar(Len::Max), default),
                column(4, "b", ColumnType::VarBinary(Len::Limited(20)), None),
                column(5, "o", ColumnType::DateTimeOffset(6), None),
            ];
            return Some(table("t", "u.t1", columns));
        }
        same_name(&name.name, "#s").then(|| {
            let columns = vec![
                column(1, "op", ColumnType::TinyInt, None),
                column(2, "k1", text(50), bin2),
                column(3, "c1", ColumnType::Int, None),
                column(4, "c2", text(100), bin2),
            ];
            table("#s", "pg_temp.s1", columns)
        })
    }

    fn variable(&self, name: &str) -> Option<ColumnType> {
        (name == "@p").then_some(ColumnType::NVarChar(Len::Limited(4000)))
    }

    fn database(&self) -> &str {
        "shop"
    }

    fn databases(&self) -> String {
        "sandbox_databases".to_owned()
    }

    fn identity_insert(&self, _table: &Table) -> bool {
        false
    }
}

fn translated(sql: &str) -> String {
    let batch = parser::parse(sql).unwrap();
    match translate(&Fixed, &batch.statements[0]) {
        Ok(plan) => plan.sql,
        Err(error) => format!("error {}: {}", error.number, error.message),
    }
}

#[test]
fn statements_become_postgresqls() {
    let statements = [
        "SELECT k, v FROM t WHERE k = N'a' ORDER BY k",
        "SELECT w FROM t WHERE w = @p ORDER BY w DESC",
        "SELECT v FROM t WHERE b = 0x01 AND o = o",
        "SELECT v FROM t WHERE k = w",
        "SELECT v FROM t WHERE k COLLATE Latin1_General_100_CI_AS = w COLLATE Latin1_General_100_CI_AS",
        "SELECT DISTINCT b FROM t",
        "SELECT TOP (3) v FROM t WITH (UPDLOCK, HOLDLOCK)",
        "SELECT COUNT_BIG(*) FROM t WITH (UPDLOCK, HOLDLOCK)",
        "INSERT INTO t (k, v) VALUES (@p, 1)",
        "INSERT INTO t (k, v) SELECT s.k1, s.c1 FROM #s AS s WHERE s.op IN (3, 4)",
        "INSERT INTO t (k) SELECT s.c2 FROM #s AS s",
        "UPDATE t SET t.v = s.c1 FROM t AS t JOIN #s AS s ON t.k = s.k1 AND DATALENGTH(t.k) = DATALENGTH(s.k1) WHERE s.op = 2",
        "UPDATE s SET s.c2 = t.k FROM #s AS s JOIN t AS t ON t.k = s.k1",
        "UPDATE t SET v = v + 1 OUTPUT inserted.v, deleted.v WHERE k = @p",
        "DELETE t FROM t AS t JOIN #s AS s ON t.k = s.k1 WHERE s.op = 1",
        "DELETE TOP (2) t FROM t AS t JOIN #s AS s ON t.v = s.c1 OR (t.v IS NULL AND s.c1 IS NULL)",
        "DELETE d FROM (SELECT t.v AS e1, ROW_NUMBER() OVER (PARTITION BY t.v ORDER BY (SELECT NULL)) AS n FROM t AS t \
         WHERE t.v > 0) AS d JOIN #s AS s ON EXISTS (SELECT d.e1 INTERSECT SELECT s.c1) WHERE d.n <= s.op",
        "MERGE INTO t WITH (HOLDLOCK) AS x USING (SELECT @p AS k) AS y ON x.k = y.k WHEN MATCHED THEN UPDATE SET v = 1 \
         WHEN NOT MATCHED THEN INSERT (k) VALUES (y.k);",
    ];
    let golden: Vec<String> = statements.iter().map(|sql| format!("{sql}\n  {}", translated(sql))).collect();
    insta::assert_snapshot!(golden.join("\n\n"));
}
