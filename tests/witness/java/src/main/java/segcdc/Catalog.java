package segcdc;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;

/** What Debezium's JDBC sink asks and sends, by the driver that it uses. */
final class Catalog {
    interface Use {
        void run(Connection connection) throws Exception;
    }

    private Catalog() {}

    private static String lines(ResultSet rows, int... columns) throws Exception {
        StringBuilder text = new StringBuilder();
        try (rows) {
            while (rows.next()) {
                for (int index : columns) {
                    text.append(rows.getString(index)).append(' ');
                }
                text.append(';');
            }
        }
        return text.toString();
    }

    private static String query(Connection connection, String sql, int... columns) throws Exception {
        try (Statement statement = connection.createStatement()) {
            return lines(statement.executeQuery(sql), columns);
        }
    }

    static void check(Connection connection) throws Exception {
        Witness.table(connection, "w_catalog", "[id] bigint NOT NULL, [b_1] nvarchar(40) NOT NULL, [bx1] int IDENTITY(1,1), "
            + "[d] decimal(10,2) NULL DEFAULT 7, [m] nvarchar(max) NULL, [v] varbinary(20) NULL, [t] datetime2(6) NULL, "
            + "[o] datetimeoffset(6) NULL, [u] uniqueidentifier NULL, [f] float NULL, [h] time(6) NULL, [y] bit NULL, "
            + "CONSTRAINT [pk_w_catalog] PRIMARY KEY ([b_1], [id])");
        var data = connection.getMetaData();
        String table = "sandbox dbo w_catalog TABLE null ;";
        Witness.same(table, lines(data.getTables(null, "dbo", "w_catalog", null), 1, 2, 3, 4, 5));
        Witness.same(table, lines(data.getTables(null, null, "w\\_cat%", new String[] {"TABLE"}), 1, 2, 3, 4, 5));
        Witness.same("", lines(data.getTables(null, "dbo", "w_catalog", new String[] {"VIEW"}), 3));
        Witness.same("", lines(data.getTables(null, "other", "w_catalog", null), 3));
        Witness.same("dbo w_catalog b_1 1 pk_w_catalog ;dbo w_catalog id 2 pk_w_catalog ;",
            lines(data.getPrimaryKeys(null, "dbo", "w_catalog"), 2, 3, 4, 5, 6));
        // Name, type, its name, size, digits, nullable, default, place, identity.
        Witness.same("id -5 bigint 19 0 0 null 1 NO ;b_1 -9 nvarchar 40 null 0 null 2 NO ;bx1 4 int identity 10 0 0 null 3 YES ;"
            + "d 3 decimal 10 2 1 (7) 4 NO ;m -9 nvarchar 2147483647 null 1 null 5 NO ;v -3 varbinary 20 null 1 null 6 NO ;"
            + "t 93 datetime2 26 6 1 null 7 NO ;o -155 datetimeoffset 33 6 1 null 8 NO ;u 1 uniqueidentifier 36 null 1 null 9 NO ;"
            + "f 8 float 53 null 1 null 10 NO ;h 92 time 15 6 1 null 11 NO ;y -7 bit 1 null 1 null 12 NO ;",
            lines(data.getColumns(null, "dbo", "w_catalog", null), 4, 5, 6, 7, 9, 11, 13, 17, 23));
        Witness.same("b_1 ;", lines(data.getColumns(null, "dbo", "w_catalog", "b\\_1"), 4));
        Witness.same("b_1 ;bx1 ;", lines(data.getColumns(null, "dbo", "w_catalog", "b_1"), 4));
        Witness.same("(UTC) Coordinated Universal Time ;", query(connection, "SELECT CURRENT_TIMEZONE()", 1));
        Witness.expect(8145, () -> Witness.run(connection, "EXEC sp_tables @nope = 1"));
        Witness.expect(201, () -> Witness.run(connection, "EXEC sp_pkeys"));
        Witness.expect(8144, () -> Witness.run(connection, "EXEC sp_pkeys N'a', N'b', N'sandbox', 1"));
        Witness.expect(15250, () -> Witness.run(connection, "EXEC sp_pkeys N'a', N'b', N'other'"));
    }

    static void tableVariables(Connection connection) throws Exception {
        Witness.table(connection, "w_copied", "[n] int NOT NULL PRIMARY KEY, [s] nvarchar(128) NULL");
        String text = "DECLARE @t TABLE ([n] int NOT NULL, [s] nvarchar(20) NULL); "
            + "INSERT INTO @t VALUES (1, N'a'), (2, N'b'), (3, NULL); UPDATE @t SET [s] = N'c' WHERE [n] = 2; "
            + "DELETE FROM @t WHERE [n] = 3; SELECT [n], [s] FROM @t AS x ORDER BY [n]";
        for (int times = 0; times < 3; times++) {
            try (PreparedStatement statement = connection.prepareStatement(text);
                ResultSet rows = statement.executeQuery()) {
                rows.next();
                Witness.same("a", rows.getString(2));
                rows.next();
                Witness.same("c", rows.getString(2));
                Witness.same(false, rows.next());
            }
        }
        Witness.expect(1087, () -> Witness.run(connection, "SELECT * FROM @t"));
        Witness.expect(1087, () -> Witness.run(connection, "DECLARE @t TABLE (n int); EXEC(N'SELECT * FROM @t')"));
        Witness.expect(134, () -> Witness.run(connection, "DECLARE @t TABLE (n int); DECLARE @t TABLE (n int)"));
        Witness.expect(102, () -> Witness.run(connection, "CREATE TABLE @t (n int)"));
        Witness.run(connection, "INSERT INTO [dbo].[w_copied] EXEC(N'SELECT 1, 2')".replace("EXEC(N'SELECT 1, 2')",
            "EXEC sp_executesql N'SELECT 1, N''x'' UNION ALL SELECT 2, @p', N'@p nvarchar(9)', N'y'"));
        Witness.same("1 x ;2 y ;", query(connection, "SELECT n, s FROM dbo.w_copied ORDER BY n", 1, 2));
        // All or nothing.
        Witness.expect(2627, () -> Witness.run(connection,
            "INSERT INTO dbo.w_copied EXEC sp_executesql N'SELECT 7, N''x'' UNION ALL SELECT 1, N''y'''"));
        Witness.expect(213, () -> Witness.run(connection, "INSERT INTO dbo.w_copied EXEC sp_executesql N'SELECT 7'"));
        Witness.same("2 ;", query(connection, "SELECT COUNT(*) FROM dbo.w_copied", 1));
    }

    static void merge(Connection connection) throws Exception {
        Witness.table(connection, "w_merge", "[id] bigint NOT NULL PRIMARY KEY, [s] nvarchar(max) NULL, [d] decimal(18,4) NULL, "
            + "[h] time(6) NULL");
        connection.setAutoCommit(false);
        String merge = "MERGE INTO [dbo].[w_merge] WITH (HOLDLOCK) AS TARGET USING (SELECT ? AS [id], ? AS [s], ? AS [d], "
            + "cast(? as time(7)) AS [h]) AS INCOMING ON (TARGET.[id]=INCOMING.[id]) WHEN MATCHED THEN UPDATE SET "
            + "[s]=INCOMING.[s],[d]=INCOMING.[d],[h]=INCOMING.[h] WHEN NOT MATCHED THEN INSERT ([s], [d], [h], [id]) VALUES "
            + "(INCOMING.[s],INCOMING.[d],INCOMING.[h],INCOMING.[id]);";
        for (int round = 0; round < 3; round++) {
            try (PreparedStatement statement = connection.prepareStatement(merge)) {
                for (int id = 0; id < 40; id++) {
                    statement.setLong(1, id);
                    statement.setString(2, id % 2 == 0 ? null : "ä😀" + id + round);
                    statement.setBigDecimal(3, new java.math.BigDecimal("12.3400"));
                    statement.setString(4, "23:59:59.999999");
                    statement.addBatch();
                }
                Witness.same(40, statement.executeBatch().length);
            }
            connection.commit();
        }
        try (PreparedStatement delete = connection.prepareStatement("DELETE FROM [dbo].[w_merge] WHERE [id] = ?")) {
            for (int id = 2; id < 50; id++) {
                delete.setLong(1, id);
                delete.addBatch();
            }
            delete.executeBatch();
        }
        connection.commit();
        Witness.same("0 null 12.3400 23:59:59.999999 ;1 ä😀12 12.3400 23:59:59.999999 ;",
            query(connection, "SELECT [id], [s], [d], CONVERT(varchar(20), [h]) FROM [dbo].[w_merge] ORDER BY [id]", 1, 2, 3, 4));
    }
}
