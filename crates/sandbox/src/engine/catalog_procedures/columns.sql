-- One row of numbers a type; 0 stands for (max), as ODBC wants it. SS_DATA_TYPE: types of TDS 4, other ones for NULL.
WITH kinds (name, odbc, precision, length, scale, radix, verbose, part, wire, wire_null) AS (
    SELECT * FROM (VALUES
        ('bit', -7, 1, 1, NULL, NULL, -7, NULL, 50, 50),
        ('tinyint', -6, 3, 1, 0, 10, -6, NULL, 48, 38),
        ('smallint', 5, 5, 2, 0, 10, 5, NULL, 52, 38),
        ('int', 4, 10, 4, 0, 10, 4, NULL, 56, 38),
        ('bigint', -5, 19, 8, 0, 10, -5, NULL, 63, 108),
        ('real', 7, 24, 4, NULL, 2, 7, NULL, 59, 109),
        ('float', 6, 53, 8, NULL, 2, 6, NULL, 62, 109),
        ('money', 3, 19, 21, 4, 10, 3, NULL, 60, 110),
        ('smallmoney', 3, 10, 12, 4, 10, 3, NULL, 122, 110),
        ('decimal', 3, NULL, NULL, NULL, 10, 3, NULL, 106, 106),
        ('numeric', 2, NULL, NULL, NULL, 10, 2, NULL, 108, 108),
        ('char', 1, NULL, NULL, NULL, NULL, 1, NULL, 47, 39),
        ('varchar', 12, NULL, NULL, NULL, NULL, 12, NULL, 39, 39),
        ('nchar', -8, NULL, NULL, NULL, NULL, -8, NULL, 39, 39),
        ('nvarchar', -9, NULL, NULL, NULL, NULL, -9, NULL, 39, 39),
        ('binary', -2, NULL, NULL, NULL, NULL, -2, NULL, 45, 37),
        ('varbinary', -3, NULL, NULL, NULL, NULL, -3, NULL, 37, 37),
        ('uniqueidentifier', -11, 36, 16, NULL, NULL, -11, NULL, 37, 37),
        ('date', 91, 10, 6, NULL, NULL, 9, 1, 0, 0),
        ('time', -154, 8, 10, NULL, NULL, -154, NULL, 0, 0),
        ('datetime2', 93, 19, 16, NULL, NULL, 9, 3, 0, 0),
        ('datetimeoffset', -155, 26, 20, NULL, NULL, -155, NULL, 0, 0),
        ('datetime', 93, 23, 16, 3, NULL, 9, 3, 61, 111),
        ('smalldatetime', 93, 16, 16, 0, NULL, 9, 3, 58, 111),
        ('xml', -152, 0, 0, NULL, NULL, -152, NULL, 0, 0),
        ('text', -1, 2147483647, 2147483647, NULL, NULL, -1, NULL, 35, 35),
        ('ntext', -10, 1073741823, 2147483646, NULL, NULL, -10, NULL, 35, 35),
        ('image', -4, 2147483647, 2147483647, NULL, NULL, -4, NULL, 34, 34)
    ) AS v (name, odbc, precision, length, scale, radix, verbose, part, wire, wire_null)
)
SELECT CONVERT(sysname, DB_NAME()) AS TABLE_QUALIFIER,
    CONVERT(sysname, s.name) AS TABLE_OWNER,
    CONVERT(sysname, o.name) AS TABLE_NAME,
    CONVERT(sysname, c.name) AS COLUMN_NAME,
    CONVERT(smallint, k.odbc) AS DATA_TYPE,
    CONVERT(sysname, CASE WHEN c.is_identity = 1 THEN t.name + ' identity' ELSE t.name END) AS TYPE_NAME,
    CONVERT(int, CASE
        WHEN t.name IN ('decimal', 'numeric') THEN c.precision
        WHEN t.name IN ('nchar', 'nvarchar') THEN IIF(c.max_length < 0, 0, c.max_length / 2)
        WHEN t.name IN ('char', 'varchar', 'binary', 'varbinary') THEN IIF(c.max_length < 0, 0, c.max_length)
        WHEN t.name IN ('time', 'datetime2', 'datetimeoffset') AND c.scale > 0 THEN k.precision + 1 + c.scale
        ELSE k.precision END) AS PRECISION,
    CONVERT(int, CASE
        WHEN t.name IN ('decimal', 'numeric') THEN c.precision + 2
        WHEN k.length IS NULL THEN IIF(c.max_length < 0, 0, c.max_length)
        ELSE k.length END) AS LENGTH,
    CONVERT(smallint, CASE
        WHEN t.name IN ('decimal', 'numeric', 'time', 'datetime2', 'datetimeoffset') THEN c.scale
        ELSE k.scale END) AS SCALE,
    CONVERT(smallint, k.radix) AS RADIX,
    CONVERT(smallint, c.is_nullable) AS NULLABLE,
    CONVERT(varchar(254), NULL) AS REMARKS,
    CONVERT(nvarchar(4000), d.definition) AS COLUMN_DEF,
    CONVERT(smallint, k.verbose) AS SQL_DATA_TYPE,
    CONVERT(smallint, k.part) AS SQL_DATETIME_SUB,
    CONVERT(int, CASE
        WHEN t.name IN ('char', 'varchar', 'nchar', 'nvarchar', 'binary', 'varbinary')
            THEN IIF(c.max_length < 0, 0, c.max_length)
        WHEN t.name IN ('text', 'ntext', 'image', 'xml') THEN k.length END) AS CHAR_OCTET_LENGTH,
    CONVERT(int, c.column_id) AS ORDINAL_POSITION,
    CONVERT(varchar(254), IIF(c.is_nullable = 1, 'YES', 'NO')) AS IS_NULLABLE,
    CONVERT(smallint, 0) AS SS_IS_SPARSE,
    CONVERT(smallint, 0) AS SS_IS_COLUMN_SET,
    CONVERT(smallint, 0) AS SS_IS_COMPUTED,
    CONVERT(smallint, c.is_identity) AS SS_IS_IDENTITY,
    CONVERT(sysname, NULL) AS SS_UDT_CATALOG_NAME,
    CONVERT(sysname, NULL) AS SS_UDT_SCHEMA_NAME,
    CONVERT(nvarchar(max), NULL) AS SS_UDT_ASSEMBLY_TYPE_NAME,
    CONVERT(sysname, NULL) AS SS_XML_SCHEMACOLLECTION_CATALOG_NAME,
    CONVERT(sysname, NULL) AS SS_XML_SCHEMACOLLECTION_SCHEMA_NAME,
    CONVERT(sysname, NULL) AS SS_XML_SCHEMACOLLECTION_NAME,
    CONVERT(tinyint, IIF(c.is_nullable = 1, k.wire_null, k.wire)) AS SS_DATA_TYPE
FROM sys.tables AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
JOIN sys.columns AS c ON c.object_id = o.object_id
JOIN sys.types AS t ON t.user_type_id = c.user_type_id
JOIN kinds AS k ON k.name = t.name
LEFT JOIN sys.default_constraints AS d ON d.object_id = c.default_object_id
WHERE (@table_name IS NULL OR @fUsePattern = 1 AND o.name LIKE @table_name OR o.name = @table_name)
    AND (@table_owner IS NULL OR @fUsePattern = 1 AND s.name LIKE @table_owner OR s.name = @table_owner)
    AND (@column_name IS NULL OR @fUsePattern = 1 AND c.name LIKE @column_name OR c.name = @column_name)
ORDER BY TABLE_QUALIFIER, TABLE_OWNER, TABLE_NAME, ORDINAL_POSITION
