//! Tables, keys, constraints, and what the catalog says of them.

use segcdc_sandbox::answer::OutColumn;
use segcdc_tds::{ColumnType, Datum, Len};

use crate::harness::{Sandbox, int, text};

#[tokio::test]
async fn constraints_are_enforced_with_their_numbers() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    client.ok("CREATE TABLE p (k int NOT NULL CONSTRAINT pk_p PRIMARY KEY, u nvarchar(10) NULL)").await;
    client.ok("CREATE UNIQUE INDEX ix_u ON p (u)").await;
    client
        .ok("CREATE TABLE c (k int NOT NULL, v int NULL CONSTRAINT ck_v CHECK (v > 0), d int NOT NULL DEFAULT 7, \
             CONSTRAINT fk_p FOREIGN KEY (k) REFERENCES p (k))")
        .await;
    client.ok("INSERT INTO p VALUES (1, N'a'), (2, NULL)").await;
    let answer = client.fails("INSERT INTO p VALUES (3, N'A ')", &[2601]).await;
    assert_eq!(
        answer.errors[0].message,
        "Cannot insert duplicate key row in object 'dbo.p' with unique index 'ix_u'. The duplicate key value is (A )."
    );
    client.fails("INSERT INTO p VALUES (3, NULL)", &[2601]).await;
    let answer = client.fails("INSERT INTO p VALUES (NULL, NULL)", &[515]).await;
    assert_eq!(
        answer.errors[0].message,
        format!(
            "Cannot insert the value NULL into column 'k', table '{name}.dbo.p'; column does not allow nulls. INSERT fails."
        )
    );
    client.fails("INSERT INTO c (k) VALUES (9)", &[547]).await;
    client.fails("INSERT INTO c (k, v) VALUES (1, 0)", &[547]).await;
    client.ok("INSERT INTO c (k, v) VALUES (1, NULL)").await;
    assert_eq!(client.value("SELECT d FROM c").await, int(7));
    client.fails("DELETE FROM p WHERE k = 1", &[547]).await;
    client.fails("DROP TABLE p", &[3726]).await;
    client.fails("TRUNCATE TABLE p", &[4712]).await;
    client.fails("CREATE TABLE p (a int)", &[2714]).await;
    client.fails("CREATE TABLE nowhere.p (a int)", &[2760]).await;
    client.fails("DROP TABLE nowhere", &[3701]).await;
    client.ok("DROP TABLE IF EXISTS nowhere").await;
    client.fails("TRUNCATE TABLE nowhere", &[4701]).await;
    client.fails("ALTER TABLE nowhere ADD x int", &[4902]).await;
    client.fails("CREATE TABLE q (a int, A int)", &[2705]).await;
    client.fails("ALTER TABLE p DROP COLUMN k", &[5074]).await;
}

#[tokio::test]
async fn a_key_over_duplicates_cannot_be_built() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (a nvarchar(10) NOT NULL, b int NULL); INSERT INTO t VALUES (N'x', 1), (N'X ', 2)").await;
    client.fails("ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY CLUSTERED (a)", &[1505, 1750]).await;
    client.fails("CREATE UNIQUE INDEX ix ON t (a)", &[1505]).await;
    client.fails("ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY (b)", &[8111]).await;
    client.fails("CREATE INDEX ix ON t (nope)", &[1911]).await;
    client.ok("DELETE FROM t WHERE b = 2; ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY CLUSTERED (a)").await;
    let keys = client
        .rows("SELECT [name], [type] FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID(N'dbo.t')")
        .await;
    assert_eq!(keys, [vec![text("pk_t"), text("PK")]]);
    client.ok("ALTER TABLE t DROP CONSTRAINT pk_t").await;
    client.ok("INSERT INTO t VALUES (N'X', 3)").await;
    client.fails("ALTER TABLE t DROP CONSTRAINT pk_t", &[3728]).await;
}

#[tokio::test]
async fn tables_change_and_statements_follow() {
    let sandbox = Sandbox::shared().await;
    let (mut client, name) = sandbox.new_database().await;
    let mut other = sandbox.login_to(&name).await;
    client.ok("CREATE TABLE t (a int NOT NULL); INSERT INTO t VALUES (1)").await;
    assert_eq!(other.ok("SELECT * FROM t").await.columns[0].len(), 1);
    client.ok("ALTER TABLE t ADD b nvarchar(5) NULL, c int NOT NULL DEFAULT 3").await;
    assert_eq!(other.rows("SELECT * FROM t").await, [vec![int(1), Datum::Null, int(3)]]);
    client.ok("ALTER TABLE t ALTER COLUMN a bigint NOT NULL").await;
    let answer = other.ok("SELECT a FROM t").await;
    assert_eq!(answer.columns[0][0].column_type, ColumnType::BigInt);
    client.ok("ALTER TABLE t ALTER COLUMN b nvarchar(50) NULL; UPDATE t SET b = N'longer than five'").await;
    client.fails("ALTER TABLE t ALTER COLUMN b nvarchar(5) NULL", &[2628]).await;
    client.ok("EXEC sp_rename 'dbo.t.b', 'bb', 'COLUMN'").await;
    assert_eq!(other.value("SELECT bb FROM t").await, text("longer than five"));
    other.fails("SELECT b FROM t", &[207]).await;
    client.ok("EXEC sp_rename 'dbo.t', 'tt'").await;
    other.fails("SELECT a FROM t", &[208]).await;
    client.ok("ALTER TABLE tt DROP COLUMN bb").await;
    assert_eq!(other.ok("SELECT * FROM tt").await.columns[0].len(), 2);
    client.ok("ALTER TABLE tt ADD d int NULL").await;
    assert_eq!(other.rows("SELECT a, c, d FROM tt").await, [vec![int(1), int(3), Datum::Null]]);
    client.fails("ALTER TABLE tt ADD e int NOT NULL", &[4901]).await;
    client.ok("BEGIN TRAN; ALTER TABLE tt ADD f int NULL; ROLLBACK").await;
    client.fails("SELECT f FROM tt", &[207]).await;
}

#[tokio::test]
async fn tables_move_and_take_their_keys_along() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (a int NOT NULL, CONSTRAINT [PK_dbo_t] PRIMARY KEY CLUSTERED (a))").await;
    client.ok("CREATE TABLE taken (a int NOT NULL); CREATE TABLE s2 (a int NULL)").await;
    client.ok("EXEC(N'CREATE SCHEMA [s]'); INSERT INTO t VALUES (1)").await;
    client.fails("ALTER TABLE t ALTER COLUMN a bigint NOT NULL", &[5074]).await;
    client.fails("EXEC sp_rename N'[dbo].[t]', N'taken', N'OBJECT'", &[15335]).await;
    client.fails("ALTER SCHEMA [none] TRANSFER [dbo].[t]", &[15151]).await;
    client.fails("ALTER SCHEMA [s] TRANSFER [dbo].[none]", &[15151]).await;
    client.ok("BEGIN TRAN; ALTER SCHEMA [s] TRANSFER [dbo].[t]; ROLLBACK; SELECT a FROM dbo.t").await;
    client.ok("ALTER SCHEMA [s] TRANSFER [dbo].[t]; EXEC sp_rename N'[s].[t]', N'u', N'OBJECT'").await;
    let rename =
        "IF OBJECT_ID(N'[s].[PK_dbo_t]') IS NOT NULL EXEC sp_rename N'[s].[PK_dbo_t]', N'PK_s_u', N'OBJECT'";
    client.ok(rename).await;
    client.ok(rename).await;
    assert_eq!(client.value("SELECT a FROM s.u").await, int(1));
    let keys = client
        .rows("SELECT [name] FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID(N's.u')")
        .await;
    assert_eq!(keys, [[text("PK_s_u")]]);
    client.fails("EXEC sp_rename N'[s].[PK_dbo_t]', N'x', N'OBJECT'", &[15225]).await;
    client.fails("INSERT INTO s.u VALUES (1)", &[2627]).await;
    client
        .ok("ALTER TABLE s.u DROP CONSTRAINT [PK_s_u]; ALTER TABLE s.u ALTER COLUMN a bigint NOT NULL")
        .await;
    client.ok("CREATE TABLE t (a int NOT NULL, CONSTRAINT [PK_dbo_t] PRIMARY KEY CLUSTERED (a))").await;
    client.ok("EXEC sp_rename N'[dbo].[t]', N'u'").await;
    client.fails("ALTER SCHEMA [s] TRANSFER [dbo].[u]", &[15530]).await;
}

#[tokio::test]
async fn identity_columns_count_and_refuse() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (id int IDENTITY(10, 5) NOT NULL PRIMARY KEY, v int NULL)").await;
    client.ok("INSERT INTO t (v) VALUES (1); INSERT INTO t VALUES (2)").await;
    let last = client.value("SELECT CAST(SCOPE_IDENTITY() AS int)").await;
    assert_eq!(last, int(15));
    client.fails("INSERT INTO t (id, v) VALUES (1, 1)", &[544]).await;
    client.ok("SET IDENTITY_INSERT t ON; INSERT INTO t (id, v) VALUES (1, 1)").await;
    client.fails("INSERT INTO t (v) VALUES (1)", &[545]).await;
    client.ok("SET IDENTITY_INSERT t OFF").await;
    client.fails("UPDATE t SET id = 2", &[8102]).await;
    assert_eq!(client.rows("SELECT id FROM t ORDER BY id").await, [[int(1)], [int(10)], [int(15)]]);
}

#[tokio::test]
async fn bulk_loads_check_what_they_store() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY, n nvarchar(3) NULL, d int NULL DEFAULT 5)").await;
    let columns = [
        OutColumn::new("k", ColumnType::Int),
        OutColumn::new("n", ColumnType::NVarChar(Len::Limited(3))),
        OutColumn::new("d", ColumnType::Int),
    ];
    let statement = "INSERT BULK [t] ([k] INT , [n] NVARCHAR(3) , [d] INT )";
    let row = |k: Datum, n: &str| vec![k, text(n), Datum::Null];
    assert_eq!(client.bulk(statement, &columns, vec![row(int(1), "a🦀")]).await, Ok(1));
    let keep = format!("{statement} with (KEEP_NULLS)");
    assert_eq!(client.bulk(&keep, &columns, vec![row(int(2), "abc  ")]).await, Ok(1));
    assert_eq!(client.rows("SELECT d FROM t ORDER BY k").await, [[int(5)], [Datum::Null]]);
    let number = |result: Result<u64, segcdc_sandbox::answer::SqlError>| result.unwrap_err().number;
    assert_eq!(number(client.bulk(&keep, &columns, vec![row(int(3), "abcd")]).await), 2628);
    assert_eq!(number(client.bulk(&keep, &columns, vec![row(int(3), "a"), row(int(1), "a")]).await), 2627);
    assert_eq!(number(client.bulk(&keep, &columns, vec![row(Datum::Null, "a")]).await), 515);
    let wrong = [OutColumn::new("k", ColumnType::Float), columns[1].clone(), columns[2].clone()];
    assert_eq!(number(client.bulk(&keep, &wrong, vec![row(Datum::Float(1.0), "a")]).await), 4816);
    assert_eq!(client.value("SELECT COUNT(*) FROM t").await, int(2));
    client.fails("INSERT BULK [nowhere] ([k] INT )", &[208]).await;
    client.ok("SET XACT_ABORT ON; BEGIN TRAN; INSERT INTO t (k) VALUES (9)").await;
    assert_eq!(number(client.bulk(&keep, &columns, vec![row(int(9), "a")]).await), 2627);
    assert_eq!(client.value("SELECT @@TRANCOUNT").await, int(0));
}

#[tokio::test]
async fn limits_of_requests_have_their_numbers() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL)").await;
    let values = |count: usize| vec!["(1)"; count].join(", ");
    client.ok(&format!("INSERT INTO t VALUES {}", values(1000))).await;
    client.fails(&format!("INSERT INTO t VALUES {}", values(1001)), &[10738]).await;
    let params: Vec<_> = (0..2101)
        .map(|number| crate::harness::param(&format!("@p{number}"), ColumnType::Int, int(1)))
        .collect();
    assert_eq!(client.run_with("SELECT 1", &params).await.numbers(), [8003]);
    client.ok_with("SELECT @p1", &params[..2100]).await;
}

#[tokio::test]
async fn unique_keys_are_checked_at_the_end_of_a_statement() {
    let sandbox = Sandbox::shared().await;
    let (mut client, _) = sandbox.new_database().await;
    client.ok("CREATE TABLE t (k int NOT NULL PRIMARY KEY, u nvarchar(10) NOT NULL)").await;
    client.ok("CREATE UNIQUE INDEX ix ON t (u); INSERT INTO t VALUES (1, N'a'), (2, N'b'), (3, N'c')").await;
    client.ok("UPDATE t SET k = k + 1").await;
    client.ok("UPDATE t SET u = CASE u WHEN N'a' THEN N'b' WHEN N'b' THEN N'a' ELSE u END").await;
    client.fails("UPDATE t SET u = N'x'", &[2601]).await;
    client.fails("UPDATE t SET k = 2", &[2627]).await;
    let rows = client.rows("SELECT k, u FROM t WHERE k IN (2, 3, 9) ORDER BY k").await;
    assert_eq!(rows, [vec![int(2), text("b")], vec![int(3), text("a")]]);
    client.ok("DROP INDEX ix ON t; INSERT INTO t VALUES (9, N'b')").await;
}
