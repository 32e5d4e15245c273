//! The statements that the product sends, from login to checkpoint.

use segcdc_sandbox::answer::OutColumn;
use segcdc_tds::{ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, text};

const OPTIONS: &str = "SET XACT_ABORT ON; SET NOCOUNT OFF; SET ANSI_NULLS ON; SET QUOTED_IDENTIFIER ON; \
    SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; \
    SET LOCK_TIMEOUT 30000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

#[tokio::test]
async fn a_pipeline_runs_from_login_to_checkpoint() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    client.ok(OPTIONS).await;
    let server = client
        .rows(
            "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), \
             CAST(SERVERPROPERTY('Edition') AS nvarchar(128)), CAST(SERVERPROPERTY('EngineEdition') AS int), DB_NAME()",
        )
        .await;
    assert_eq!(server[0][2..], [int(3), text(&name)]);
    let database = client
        .rows(
            "SELECT [compatibility_level], [collation_name], [is_read_only], [delayed_durability_desc], \
             [snapshot_isolation_state_desc], [is_read_committed_snapshot_on], [recovery_model_desc] \
             FROM [sys].[databases] WHERE [name] = DB_NAME()",
        )
        .await;
    assert_eq!(database[0][1], text("SQL_Latin1_General_CP1_CI_AS"));
    assert_eq!(database[0][2], Datum::Bit(false));
    assert!(client.rows("SELECT [schema_id] FROM [sys].[schemas] WHERE [name] = N'segcdc'").await.is_empty());
    client.ok("CREATE SCHEMA [segcdc]").await;
    client
        .ok("CREATE TABLE [segcdc].[pipeline] (
            [pipeline] nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
            [epoch] bigint NOT NULL,
            [owner] nvarchar(200) NOT NULL,
            [applied_lsn] bigint NOT NULL,
            [slot_is_ours] bit NOT NULL,
            [updated_at] datetime2(6) NOT NULL,
            CONSTRAINT [PK_segcdc_pipeline] PRIMARY KEY CLUSTERED ([pipeline])
        )")
        .await;
    let object = client
        .rows(
            "SELECT o.[object_id], o.[type] FROM [sys].[objects] AS o JOIN [sys].[schemas] AS s \
             ON s.[schema_id] = o.[schema_id] WHERE s.[name] = N'segcdc' AND o.[name] = N'pipeline'",
        )
        .await;
    let Datum::Int(object_id) = object[0][0] else { panic!("{object:?}") };
    let columns = client
        .rows(&format!(
            "SELECT c.[name], t.[name], c.[max_length], c.[precision], c.[scale], c.[is_nullable], c.[collation_name], \
             c.[is_identity], c.[is_computed] FROM [sys].[columns] AS c \
             JOIN [sys].[types] AS t ON t.[user_type_id] = c.[user_type_id] \
             WHERE c.[object_id] = {object_id} ORDER BY c.[column_id]"
        ))
        .await;
    assert_eq!(columns.len(), 6);
    assert_eq!(
        columns[0],
        [
            text("pipeline"),
            text("nvarchar"),
            int(200),
            int(0),
            int(0),
            Datum::Bit(false),
            text("Latin1_General_100_BIN2"),
            Datum::Bit(false),
            Datum::Bit(false)
        ]
    );
    let inserted = client
        .ok("INSERT INTO [segcdc].[pipeline] ([pipeline], [epoch], [owner], [applied_lsn], [slot_is_ours], [updated_at]) \
             VALUES (N'p', 1, N'me', 25000000000, 1, SYSUTCDATETIME())")
        .await;
    assert_eq!(inserted.counts, [1]);
    let taken = client
        .ok("UPDATE [segcdc].[pipeline] SET [epoch] = [epoch] + 1, [owner] = N'you', [updated_at] = SYSUTCDATETIME() \
             OUTPUT inserted.[epoch], inserted.[applied_lsn], inserted.[slot_is_ours] WHERE [pipeline] = N'p'")
        .await;
    assert_eq!(taken.rows, [vec![int(2), int(25_000_000_000), Datum::Bit(true)]]);
    let fence = client
        .ok("BEGIN TRANSACTION; UPDATE [segcdc].[pipeline] SET [updated_at] = SYSUTCDATETIME() \
             WHERE [pipeline] = N'p' AND [epoch] = 2 AND [applied_lsn] = 25000000000")
        .await;
    assert_eq!(fence.counts, [1]);
    client.ok("COMMIT TRANSACTION").await;
    client.ok("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION").await;
}

#[tokio::test]
async fn a_batch_goes_through_staging_into_its_table() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok(OPTIONS).await;
    client
        .ok("CREATE TABLE [dbo].[t] (\n    [k] nvarchar(50) COLLATE Latin1_General_100_BIN2 NOT NULL,\n    [v] int NULL,\n    \
             [w] nvarchar(max) NULL\n)")
        .await;
    client.ok("ALTER TABLE [dbo].[t] ADD CONSTRAINT [PK_dbo_t] PRIMARY KEY CLUSTERED ([k])").await;
    client.ok("INSERT INTO [dbo].[t] ([k], [v], [w]) VALUES (N'a', 1, N'old'), (N'b', 2, N'old'), (N'c', 3, N'old')").await;
    client.ok("BEGIN TRANSACTION").await;
    client
        .ok("CREATE TABLE [#s1] ([op] tinyint NOT NULL, [grp] int NOT NULL, \
             [k1] nvarchar(50) COLLATE Latin1_General_100_BIN2 NULL, [c1] nvarchar(50) COLLATE Latin1_General_100_BIN2 NULL, \
             [c2] int NULL, [c3] nvarchar(max) COLLATE Latin1_General_100_BIN2 NULL)")
        .await;
    let key = ColumnType::NVarChar(Len::Limited(50));
    let columns = [
        OutColumn::new("op", ColumnType::TinyInt),
        OutColumn::new("grp", ColumnType::Int),
        OutColumn::new("k1", key),
        OutColumn::new("c1", key),
        OutColumn::new("c2", ColumnType::Int),
        OutColumn::new("c3", ColumnType::NVarChar(Len::Max)),
    ];
    let rows = vec![
        vec![int(1), int(0), text("a"), Datum::Null, Datum::Null, Datum::Null],
        vec![int(2), int(0), text("b"), Datum::Null, int(20), Datum::Null],
        vec![int(4), int(0), text("c"), text("c2"), int(30), Datum::Null],
        vec![int(3), int(0), Datum::Null, text("d"), int(4), text("new")],
    ];
    let statement = "INSERT BULK [#s1] ([op] TINYINT , [grp] INT , [k1] NVARCHAR(50) , [c1] NVARCHAR(50) , [c2] INT , \
        [c3] NVARCHAR(MAX) )  with (KEEP_NULLS, TABLOCK)";
    assert_eq!(client.bulk(statement, &columns, rows).await, Ok(4));
    let key_match = "t.[k] = s.[k1] AND DATALENGTH(t.[k]) = DATALENGTH(s.[k1])";
    let mut check = async |sql: String| {
        let answer = client.ok(&sql).await;
        assert_eq!(answer.counts, [1], "{sql}");
    };
    check(format!(
        "UPDATE s SET s.[c3] = t.[w] FROM [#s1] AS s JOIN [dbo].[t] AS t ON {key_match} WHERE s.[op] = 4 AND s.[grp] = 0"
    ))
    .await;
    check(format!("DELETE t FROM [dbo].[t] AS t JOIN [#s1] AS s ON {key_match} WHERE s.[op] = 1")).await;
    check(format!("DELETE t FROM [dbo].[t] AS t JOIN [#s1] AS s ON {key_match} WHERE s.[op] = 4")).await;
    check(format!(
        "UPDATE t SET t.[v] = s.[c2] FROM [dbo].[t] AS t JOIN [#s1] AS s ON {key_match} WHERE s.[op] = 2 AND s.[grp] = 0"
    ))
    .await;
    let answer = client
        .ok("INSERT INTO [dbo].[t] ([k], [v], [w]) SELECT s.[c1], s.[c2], s.[c3] FROM [#s1] AS s WHERE s.[op] IN (3, 4)")
        .await;
    assert_eq!(answer.counts, [2]);
    client.ok("COMMIT TRANSACTION").await;
    client.ok("TRUNCATE TABLE [#s1]").await;
    let rows = client.rows("SELECT [k], [v], [w] FROM [dbo].[t] ORDER BY [k]").await;
    assert_eq!(
        rows,
        [
            vec![text("b"), int(20), text("old")],
            vec![text("c2"), int(30), text("old")],
            vec![text("d"), int(4), text("new")],
        ]
    );
    assert_eq!(client.value("SELECT COUNT_BIG(*) FROM [#s1]").await, int(0));
}

/// The paragraphs of one of the product's snapshots.
fn golden(name: &str) -> Vec<String> {
    let path =
        format!("{}/../sqlserver/tests/it/snapshots/it__golden__{name}.snap", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, body) = text.split_once("\n---\n").unwrap();
    body.split("\n\n").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Parameters of a statement on a single letter or counter, which is not there.
fn letter_params(sql: &str) -> Vec<segcdc_sandbox::engine::Param> {
    let of_text = |len| (ColumnType::NVarChar(len), text("x"));
    let (name, long) = (|| of_text(Len::Limited(63)), || of_text(Len::Max));
    let number = || (ColumnType::BigInt, int(7));
    let hash = || (ColumnType::VarBinary(Len::Limited(32)), Datum::Bytes(vec![7; 32]));
    let values = if sql.contains("[policy_use]") {
        vec![number(), name(), name(), number()]
    } else if sql.contains("@P19") {
        let held = (ColumnType::Bit, Datum::Bit(true));
        vec![number(), hash(), name(), name(), long(), number(), name(), name(), long(), held, long()]
    } else if sql.contains("@P11") {
        vec![number(), hash(), number()]
    } else {
        vec![number(), number()]
    };
    let mut params: Vec<_> =
        (1..=8).map(|number| crate::harness::param(&format!("@P{number}"), name().0, text("p"))).collect();
    let named = values.into_iter().zip(9..);
    params.extend(named.map(|((column_type, value), number)| {
        crate::harness::param(&format!("@P{number}"), column_type, value)
    }));
    params
}

/// Everything that has a fixed text runs, whatever it finds. What only people are told to run is left out.
#[tokio::test]
async fn every_statement_of_the_product_is_known() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok(OPTIONS).await;
    client.ok("CREATE SCHEMA [segcdc]").await;
    let tables = golden("definition_of_tables");
    for sql in tables.iter().filter(|sql| !sql.starts_with("DROP") && !sql.contains(" DROP CONSTRAINT")) {
        if sql.starts_with("DISABLE TRIGGER") || sql.contains("NOCHECK") || sql.contains("] ADD [") {
            continue;
        }
        client.ok(sql).await;
    }
    let mut params = Vec::new();
    for number in 1..=16 {
        let name = format!("@P{number}");
        params.push(crate::harness::param(&name, ColumnType::Int, Datum::Null));
    }
    let has_inserts =
        |sql: &&String| !(sql.starts_with("INSERT INTO [#s1]") || sql.starts_with("DROP TABLE [#"));
    for name in [
        "staging_tables",
        "state_of_pipelines",
        "what_was_seen_of_slots",
        "dead_letters_and_counters",
        "questions_to_the_catalog",
        "effects_of_staged_rows",
    ] {
        for sql in golden(name).iter().filter(has_inserts) {
            client.ok_with(sql, &params).await;
        }
    }
    for sql in golden("single_letters_and_counters") {
        client.ok_with(&sql, &letter_params(&sql)).await;
    }
    for name in ["effects_of_single_rows", "reading_rows_back"] {
        for sql in golden(name) {
            if sql.starts_with("INSERT") || sql.starts_with("IF ") {
                continue;
            }
            let mut typed = params.clone();
            if sql.contains("we]]ird") || sql.contains("[bag]") || sql.contains("[segcdc]") {
                let key = ColumnType::NVarChar(Len::Limited(4000));
                let of_bag = sql.contains("[bag]");
                for (index, column_type) in [
                    (0, key),
                    (1, ColumnType::VarBinary(Len::Limited(8000))),
                    (3, key),
                    (4, ColumnType::VarBinary(Len::Limited(8000))),
                    (8, key),
                    (9, ColumnType::VarBinary(Len::Limited(8000))),
                    (10, if of_bag { ColumnType::Float } else { ColumnType::Int }),
                    (11, key),
                ] {
                    typed[index].column_type = column_type;
                }
            }
            if sql.contains("[segcdc]") {
                typed[0].column_type = ColumnType::BigInt;
                typed[1].column_type = ColumnType::BigInt;
                typed[3].column_type = ColumnType::BigInt;
                typed[4].column_type = ColumnType::NVarChar(Len::Limited(4000));
            }
            if sql.contains("[types]") {
                typed[10].column_type = ColumnType::NVarChar(Len::Max);
            }
            client.ok_with(&sql, &typed).await;
        }
    }
}

#[tokio::test]
async fn a_small_batch_is_one_request_that_checks_its_counts() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok(OPTIONS).await;
    client.ok("CREATE TABLE [dbo].[t] ([k] int NOT NULL PRIMARY KEY, [v] int NULL)").await;
    client.ok("INSERT INTO [dbo].[t] VALUES (1, 1), (2, 2)").await;
    let sql = "BEGIN TRANSACTION;\nUPDATE [dbo].[t] SET [v] = @P1 WHERE [k] = @P2;\n\
        IF @@ROWCOUNT <> 1 THROW 58231, N'segcdc: row count', 1;\nDELETE FROM [dbo].[t] WHERE [k] = @P3;\n\
        IF @@ROWCOUNT <> 1 THROW 58232, N'segcdc: row count', 1;\nINSERT INTO [dbo].[t] ([k], [v]) VALUES (@P4, @P1);\n\
        COMMIT TRANSACTION";
    let params = |values: [i64; 4]| -> Vec<_> {
        let named = values.iter().zip(1..);
        named
            .map(|(value, number)| {
                crate::harness::param(&format!("@P{number}"), ColumnType::Int, int(*value))
            })
            .collect()
    };
    let answer = client.ok_with(sql, &params([10, 1, 2, 3])).await;
    assert_eq!(answer.counts, [1, 1, 1]);
    let answer = client.run_with(sql, &params([11, 1, 99, 4])).await;
    assert_eq!(answer.numbers(), [58232]);
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(0));
    let rows = client.rows("SELECT [k], [v] FROM [dbo].[t] ORDER BY [k]").await;
    assert_eq!(rows, [vec![int(1), int(10)], vec![int(3), int(10)]]);
}
