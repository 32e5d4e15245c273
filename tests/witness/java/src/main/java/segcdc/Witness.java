package segcdc;

import com.microsoft.sqlserver.jdbc.SQLServerBulkCopy;
import com.microsoft.sqlserver.jdbc.SQLServerBulkCopyOptions;
import com.microsoft.sqlserver.jdbc.SQLServerException;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

/**
 * What Microsoft's JDBC driver sees of a server.
 *
 * <p>{@code check PORT DATABASE PASSWORD CA_FILE} runs every check and prints a line for each; {@code bulk PORT DATABASE
 * PASSWORD} logs in without encryption and bulk loads one table a type, for a recording proxy; {@code rows PORT DATABASE
 * PASSWORD SQL} prints the rows of a query.
 */
public final class Witness {
    private static int passed;
    private static int failed;
    private static String port;
    private static String database;
    private static String password;

    interface Check {
        void run() throws Exception;
    }

    private Witness() {}

    public static void main(String[] arguments) throws Exception {
        port = arguments[1];
        database = arguments[2];
        password = arguments[3];
        if (arguments[0].equals("bulk")) {
            bulkForTheRecord();
            return;
        }
        if (arguments[0].equals("rows")) {
            rows(arguments[4]);
            return;
        }
        String trust = trustStore(arguments[4]);
        check("login without encryption", () -> connect("encrypt", "false").close());
        check("login with TLS in TDS 7", () -> connect("encrypt", "true", "trustStore", trust,
            "trustStorePassword", "changeit", "trustStoreType", "PKCS12", "hostNameInCertificate", "localhost").close());
        check("login with TDS 8.0", () -> connect("encrypt", "strict", "trustStore", trust, "trustStorePassword",
            "changeit", "trustStoreType", "PKCS12", "hostNameInCertificate", "localhost").close());
        check("wrong password is 18456", () -> expect(18456, () -> connect("encrypt", "false", "password", "no")));
        check("unknown database is 4060", () -> expect(4060, () -> connect("encrypt", "false", "databaseName", "no")));
        check("every type by prepared statement", () -> everyType(false));
        check("NULL of every type by prepared statement", () -> everyType(true));
        check("values over 64 KiB", Witness::longValues);
        check("errors leave the connection usable", Witness::errors);
        check("prepared statement runs again", Witness::prepared);
        check("transactions and savepoints", Witness::transactions);
        check("tables, columns and keys by DatabaseMetaData", () -> with(Catalog::check));
        check("table variables", () -> with(Catalog::tableVariables));
        check("MERGE in batches, as Debezium's sink sends it", () -> with(Catalog::merge));
        check("bulk copy of every type", Witness::bulk);
        check("bulk copy of long values", Witness::bulkLong);
        check("bulk copy in many packets", Witness::bulkMany);
        check("error in mid-stream of a bulk copy", Witness::bulkError);
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void check(String name, Check check) {
        try {
            check.run();
            passed++;
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAILED " + name + ": " + error);
            error.printStackTrace(System.out);
        }
    }

    private static Connection connect(String... settings) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", "sa");
        properties.put("password", password);
        properties.put("databaseName", database);
        // Else a time travels as a datetime, to 1/300 s.
        properties.put("sendTimeAsDatetime", "false");
        for (int index = 0; index < settings.length; index += 2) {
            properties.put(settings[index], settings[index + 1]);
        }
        return DriverManager.getConnection("jdbc:sqlserver://127.0.0.1:" + port, properties);
    }

    private static Connection plain() throws SQLException {
        return connect("encrypt", "false");
    }

    private static void with(Catalog.Use use) throws Exception {
        try (Connection connection = plain()) {
            use.run(connection);
        }
    }

    private static void rows(String sql) throws Exception {
        java.io.PrintStream out = new java.io.PrintStream(System.out, true, "UTF-8");
        try (Connection connection = plain(); Statement statement = connection.createStatement()) {
            if (statement.execute(sql)) {
                ResultSet rows = statement.getResultSet();
                int columns = rows.getMetaData().getColumnCount();
                while (rows.next()) {
                    StringBuilder line = new StringBuilder();
                    for (int index = 1; index <= columns; index++) {
                        line.append(index == 1 ? "" : "|").append(rows.getString(index));
                    }
                    out.println(line);
                }
            }
        }
    }

    static void expect(int number, Check check) throws Exception {
        try {
            check.run();
        } catch (SQLServerException error) {
            SQLException each = error;
            while (each != null) {
                if (each.getErrorCode() == number) {
                    return;
                }
                each = each.getNextException();
            }
            if (error.getSQLServerError() != null && error.getSQLServerError().getErrorNumber() == number) {
                return;
            }
            throw new AssertionError("expected " + number + ", got " + error.getErrorCode() + ": " + error);
        }
        throw new AssertionError("expected error " + number);
    }

    static void same(Object expected, Object found) {
        boolean equal = expected instanceof byte[] bytes && found instanceof byte[] other
            ? Arrays.equals(bytes, other) : Objects.equals(expected, found);
        if (!equal) {
            throw new AssertionError("expected " + show(expected) + ", found " + show(found));
        }
    }

    private static String show(Object value) {
        String text = value instanceof byte[] bytes ? Arrays.toString(bytes) : String.valueOf(value);
        return text.length() > 100 ? text.substring(0, 100) + "... of " + text.length() : text;
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static void table(Connection connection, String name, String columns) throws SQLException {
        run(connection, "DROP TABLE IF EXISTS [dbo].[" + name + "]");
        run(connection, "CREATE TABLE [dbo].[" + name + "] (" + columns + ")");
    }

    private static long count(Connection connection, String table) throws SQLException {
        try (Statement statement = connection.createStatement();
            ResultSet rows = statement.executeQuery("SELECT COUNT(*) FROM [dbo].[" + table + "]")) {
            rows.next();
            return rows.getLong(1);
        }
    }

    private static String definitions(List<Column> columns) {
        StringBuilder text = new StringBuilder();
        for (Column column : columns) {
            text.append(text.length() == 0 ? "" : ", ").append('[').append(column.name).append("] ")
                .append(column.sqlType).append(" NULL");
        }
        return text.toString();
    }

    private static void everyType(boolean nulls) throws SQLException {
        List<Column> columns = Column.all();
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_types", definitions(columns));
            insert(connection, "w_jdbc_types", columns, nulls);
            compare(connection, "w_jdbc_types", nulls);
        }
    }

    private static void insert(Connection connection, String table, List<Column> columns, boolean nulls)
        throws SQLException {
        String marks = "?, ".repeat(columns.size() - 1) + "?";
        try (PreparedStatement insert =
            connection.prepareStatement("INSERT INTO [dbo].[" + table + "] VALUES (" + marks + ")")) {
            for (int index = 0; index < columns.size(); index++) {
                Column column = columns.get(index);
                Object value = nulls ? null : column.value;
                if (column.jdbcType == java.sql.Types.DECIMAL) {
                    insert.setObject(index + 1, value, column.jdbcType, column.scale);
                } else {
                    insert.setObject(index + 1, value, column.jdbcType);
                }
            }
            same(1, insert.executeUpdate());
        }
    }

    private static void compare(Connection connection, String table, boolean nulls) throws SQLException {
        List<Column> columns = Column.all();
        try (Statement statement = connection.createStatement();
            ResultSet rows = statement.executeQuery("SELECT * FROM [dbo].[" + table + "]")) {
            same(columns.size(), rows.getMetaData().getColumnCount());
            if (!rows.next()) {
                throw new AssertionError("no row");
            }
            for (int index = 0; index < columns.size(); index++) {
                Column column = columns.get(index);
                same(column.name, rows.getMetaData().getColumnName(index + 1));
                Object found = rows.getObject(index + 1);
                if (nulls) {
                    same(null, found);
                } else if (column.sqlType.startsWith("time")) {
                    same("03:04:05.123456", rows.getString(index + 1));
                } else if (column.sqlType.equals("uniqueidentifier")) {
                    same(String.valueOf(column.value).toUpperCase(), String.valueOf(found).toUpperCase());
                } else {
                    same(column.value, found);
                }
            }
            same(false, rows.next());
        }
    }

    private static void longValues() throws SQLException {
        String text = "\u00e4bc\ud83d\ude00".repeat(40_000);
        byte[] bytes = new byte[300_000];
        for (int index = 0; index < bytes.length; index++) {
            bytes[index] = (byte) (index * 31);
        }
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_long", "[id] int NOT NULL, [t] nvarchar(max) NULL, [b] varbinary(max) NULL");
            try (PreparedStatement insert =
                connection.prepareStatement("INSERT INTO [dbo].[w_jdbc_long] VALUES (?, ?, ?)")) {
                insert.setInt(1, 1);
                insert.setNString(2, text);
                insert.setBytes(3, bytes);
                same(1, insert.executeUpdate());
            }
            try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT [t], [b] FROM [dbo].[w_jdbc_long] WHERE [id] = 1")) {
                rows.next();
                same(text, rows.getString(1));
                same(bytes, rows.getBytes(2));
            }
        }
    }

    private static void errors() throws Exception {
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_errors", "[id] int NOT NULL, CONSTRAINT [pk_w_jdbc_errors] PRIMARY KEY ([id])");
            run(connection, "INSERT INTO [dbo].[w_jdbc_errors] VALUES (1)");
            expect(2627, () -> run(connection, "INSERT INTO [dbo].[w_jdbc_errors] VALUES (1)"));
            expect(515, () -> run(connection, "INSERT INTO [dbo].[w_jdbc_errors] VALUES (NULL)"));
            expect(208, () -> run(connection, "SELECT * FROM [dbo].[w_no_such_table]"));
            expect(207, () -> run(connection, "SELECT [nope] FROM [dbo].[w_jdbc_errors]"));
            same(1L, count(connection, "w_jdbc_errors"));
        }
    }

    private static void prepared() throws SQLException {
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_prepared", "[id] int NOT NULL, [t] nvarchar(20) NULL");
            try (PreparedStatement insert =
                connection.prepareStatement("INSERT INTO [dbo].[w_jdbc_prepared] VALUES (?, ?)")) {
                for (int id = 0; id < 5; id++) {
                    insert.setInt(1, id);
                    insert.setNString(2, "row " + id);
                    same(1, insert.executeUpdate());
                }
                for (int id = 5; id < 25; id++) {
                    insert.setInt(1, id);
                    insert.setNString(2, "row " + id);
                    insert.addBatch();
                }
                same(20, insert.executeBatch().length);
            }
            same(25L, count(connection, "w_jdbc_prepared"));
        }
    }

    private static void transactions() throws SQLException {
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_transactions", "[id] int NOT NULL");
            connection.setAutoCommit(false);
            run(connection, "INSERT INTO [dbo].[w_jdbc_transactions] VALUES (1)");
            connection.rollback();
            same(0L, count(connection, "w_jdbc_transactions"));
            run(connection, "INSERT INTO [dbo].[w_jdbc_transactions] VALUES (2)");
            Savepoint savepoint = connection.setSavepoint("here");
            run(connection, "INSERT INTO [dbo].[w_jdbc_transactions] VALUES (3)");
            connection.rollback(savepoint);
            connection.commit();
            connection.setAutoCommit(true);
            same(1L, count(connection, "w_jdbc_transactions"));
        }
    }

    private static SQLServerBulkCopy copyInto(Connection connection, String table) throws SQLException {
        SQLServerBulkCopy copy = new SQLServerBulkCopy(connection);
        SQLServerBulkCopyOptions options = new SQLServerBulkCopyOptions();
        options.setTableLock(true);
        options.setKeepNulls(true);
        copy.setBulkCopyOptions(options);
        copy.setDestinationTableName("[dbo].[" + table + "]");
        return copy;
    }

    private static void load(Connection connection, String table, Rows rows) throws SQLException {
        try (SQLServerBulkCopy copy = copyInto(connection, table)) {
            copy.writeToServer(rows);
        }
    }

    /** From table to table: only then does the driver send dates and times as such, and not as texts. */
    private static void copy(Connection connection, String from, String to) throws SQLException {
        try (Connection source = plain();
            Statement statement = source.createStatement();
            ResultSet rows = statement.executeQuery("SELECT * FROM [dbo].[" + from + "]");
            SQLServerBulkCopy copy = copyInto(connection, to)) {
            copy.writeToServer(rows);
        }
    }

    private static void bulk() throws SQLException {
        List<Column> columns = Column.all();
        try (Connection connection = plain()) {
            for (boolean nulls : new boolean[] {false, true}) {
                table(connection, "w_jdbc_bulk_source", definitions(columns));
                insert(connection, "w_jdbc_bulk_source", columns, nulls);
                table(connection, "w_jdbc_bulk", definitions(columns));
                copy(connection, "w_jdbc_bulk_source", "w_jdbc_bulk");
                compare(connection, "w_jdbc_bulk", nulls);
            }
        }
    }

    private static final List<Column> SMALL = List.of(
        new Column("id", "int", java.sql.Types.INTEGER, 10, 0, 0),
        new Column("t", "nvarchar(max)", java.sql.Types.LONGNVARCHAR, 1073741823, 0, ""));

    private static void bulkLong() throws SQLException {
        String text = "0123456789".repeat(50_000);
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_bulk_long", definitions(SMALL));
            load(connection, "w_jdbc_bulk_long", new Rows(SMALL, 3, index -> new Object[] {index, text + index}));
            try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT [t] FROM [dbo].[w_jdbc_bulk_long] ORDER BY [id]")) {
                for (int index = 0; index < 3; index++) {
                    rows.next();
                    same(text + index, rows.getString(1));
                }
            }
        }
    }

    private static void bulkMany() throws SQLException {
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_bulk_many", definitions(SMALL));
            load(connection, "w_jdbc_bulk_many", new Rows(SMALL, 20_000, index -> new Object[] {index, "row " + index}));
            same(20_000L, count(connection, "w_jdbc_bulk_many"));
        }
    }

    private static void bulkError() throws Exception {
        try (Connection connection = plain()) {
            table(connection, "w_jdbc_bulk_error",
                "[id] int NOT NULL, [t] nvarchar(max) NULL, CONSTRAINT [pk_w_jdbc_bulk_error] PRIMARY KEY ([id])");
            expect(2627, () -> load(connection, "w_jdbc_bulk_error",
                new Rows(SMALL, 20_000, index -> new Object[] {index == 15_000 ? 7 : index, "row"})));
            same(0L, count(connection, "w_jdbc_bulk_error"));
        }
    }

    private static void bulkForTheRecord() throws SQLException {
        try (Connection connection = plain()) {
            for (Column column : Column.all()) {
                List<Column> one = List.of(column);
                table(connection, "w_golden_source", definitions(one));
                insert(connection, "w_golden_source", one, false);
                insert(connection, "w_golden_source", one, true);
                table(connection, "w_golden", definitions(one));
                copy(connection, "w_golden_source", "w_golden");
            }
        }
    }

    private static String trustStore(String caFile) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream pem = new FileInputStream(caFile)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        Path path = Files.createTempFile("segcdc-witness", ".p12");
        path.toFile().deleteOnExit();
        try (FileOutputStream out = new FileOutputStream(path.toFile())) {
            store.store(out, "changeit".toCharArray());
        }
        return path.toString();
    }
}
