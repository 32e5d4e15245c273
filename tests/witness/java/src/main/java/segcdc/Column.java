package segcdc;

import java.math.BigDecimal;
import java.sql.Types;
import java.util.List;

/** The types of the product, one column each, and a value of each as mssql-jdbc takes it. */
final class Column {
    final String name;
    final String sqlType;
    final int jdbcType;
    final int precision;
    final int scale;
    final Object value;

    Column(String name, String sqlType, int jdbcType, int precision, int scale, Object value) {
        this.name = name;
        this.sqlType = sqlType;
        this.jdbcType = jdbcType;
        this.precision = precision;
        this.scale = scale;
        this.value = value;
    }

    /** Every type that the product writes. The values are told again in golden.rs: change both. */
    static List<Column> all() {
        int offset = microsoft.sql.Types.DATETIMEOFFSET;
        java.sql.Timestamp timestamp = java.sql.Timestamp.valueOf("2026-01-02 03:04:05.123456");
        return List.of(
            new Column("c_bit", "bit", Types.BIT, 1, 0, true),
            new Column("c_tinyint", "tinyint", Types.TINYINT, 3, 0, (short) 200),
            new Column("c_smallint", "smallint", Types.SMALLINT, 5, 0, (short) -2),
            new Column("c_int", "int", Types.INTEGER, 10, 0, 123456789),
            new Column("c_bigint", "bigint", Types.BIGINT, 19, 0, -1234567890123L),
            new Column("c_real", "real", Types.REAL, 24, 0, 1.5f),
            new Column("c_float", "float", Types.DOUBLE, 53, 0, -0.25d),
            new Column("c_decimal_9", "decimal(9,2)", Types.DECIMAL, 9, 2, new BigDecimal("-1234567.89")),
            new Column("c_decimal_38", "decimal(38,10)", Types.DECIMAL, 38, 10,
                new BigDecimal("1234567890123456789012345678.0123456789")),
            new Column("c_nvarchar", "nvarchar(50)", Types.NVARCHAR, 50, 0, "h\u00e9llo \u20ac"),
            new Column("c_nvarchar_max", "nvarchar(max)", Types.LONGNVARCHAR, 1073741823, 0, "long \ud83d\ude00"),
            new Column("c_varchar", "varchar(50) COLLATE Latin1_General_100_CI_AS_SC_UTF8", Types.VARCHAR, 50, 0, "plain \u00e9"),
            new Column("c_varbinary", "varbinary(50)", Types.VARBINARY, 50, 0, new byte[] {1, 2, (byte) 255}),
            new Column("c_varbinary_max", "varbinary(max)", Types.LONGVARBINARY, 2147483647, 0,
                new byte[] {9, 8, 7}),
            new Column("c_date", "date", Types.DATE, 10, 0, java.sql.Date.valueOf("2026-01-02")),
            new Column("c_time_6", "time(6)", Types.TIME, 15, 6, timestamp),
            new Column("c_datetime2_6", "datetime2(6)", Types.TIMESTAMP, 26, 6, timestamp),
            new Column("c_datetimeoffset_6", "datetimeoffset(6)", offset, 33, 6,
                microsoft.sql.DateTimeOffset.valueOf(timestamp("2026-01-02 03:04:05.123456"), 0)),
            new Column("c_uniqueidentifier", "uniqueidentifier", microsoft.sql.Types.GUID, 36, 0,
                "00112233-4455-6677-8899-aabbccddeeff"));
    }

    /** A moment of UTC. */
    private static java.sql.Timestamp timestamp(String text) {
        java.time.LocalDateTime local = java.time.LocalDateTime.parse(text.replace(' ', 'T'));
        java.sql.Timestamp timestamp = new java.sql.Timestamp(local.toEpochSecond(java.time.ZoneOffset.UTC) * 1000);
        timestamp.setNanos(local.getNano());
        return timestamp;
    }
}
