//! Faults of the target, and of the way to it.

use super::{NAME, Rig, SINK, Seen, runs, set, stopped};

/// Makes all of them, one after another.
pub(super) async fn faults(rig: &Rig, seen: &mut Seen) {
    tables(rig, seen).await;
    ways(rig, seen).await;
}

/// A row for the sink.
async fn next(rig: &Rig) {
    let sql = "INSERT INTO item SELECT max(id) + 1, repeat('x', 40) FROM item";
    rig.postgres.execute(NAME, sql).await.unwrap();
}

async fn tables(rig: &Rig, seen: &mut Seen) {
    let target = async |sql: &str| {
        let mut target = session(rig).await;
        target.batch(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    for (name, code, breaks, mends) in [
        (
            "target_table_missing",
            "TARGET_TABLE_MISSING",
            "EXEC sp_rename N'dbo.item', N'elsewhere'",
            "EXEC sp_rename N'dbo.elsewhere', N'item'",
        ),
        (
            "target_column_missing",
            "TARGET_COLUMN_MISSING",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]",
            "ALTER TABLE [dbo].[item] ADD [v] nvarchar(max)",
        ),
        (
            "target_value_too_long",
            "VALUE_TOO_LONG",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]; ALTER TABLE [dbo].[item] ADD [v] nvarchar(5)",
            "ALTER TABLE [dbo].[item] DROP COLUMN [v]; ALTER TABLE [dbo].[item] ADD [v] nvarchar(max)",
        ),
    ] {
        let breaks = async || {
            target(breaks).await;
            next(rig).await;
        };
        seen.at_start(rig, SINK, breaks, name, code).await;
        target(mends).await;
    }
    runs(rig, SINK).await;
}

/// Of these its trace says nothing more.
async fn ways(rig: &Rig, seen: &mut Seen) {
    let found = rig.rest.config(SINK).await.unwrap().unwrap();
    let url = found.get("connection.url").unwrap();
    for (name, property, value) in [
        (
            "target_tls_not_trusted",
            "connection.url",
            url.replace("trustServerCertificate=true", "trustServerCertificate=false"),
        ),
        ("target_host_unknown", "connection.url", url.replace("//127.0.0.1", "//no-such-host.invalid")),
        ("target_refused", "connection.url", url.replace("//127.0.0.1:", "//127.0.0.2:")),
        ("target_login_failed", "connection.username", "nobody".to_owned()),
    ] {
        stopped(rig, SINK).await;
        let breaks = async || {
            set(rig, SINK, |properties| {
                properties.clone_from(&found);
                properties.insert(property.to_owned(), value.clone());
            })
            .await;
        };
        seen.at_start(rig, SINK, breaks, name, "TARGET_CONNECT_FAILED").await;
    }
    set(rig, SINK, |properties| properties.clone_from(&found)).await;
    runs(rig, SINK).await;
}

/// A session with the target.
pub(super) async fn session(rig: &Rig) -> segcdc_tds::Connection {
    segcdc_tds::Connection::connect(&rig.config.engine.target.to_tds()).await.unwrap()
}
