SELECT CONVERT(sysname, DB_NAME()) AS TABLE_QUALIFIER,
    CONVERT(sysname, s.name) AS TABLE_OWNER,
    CONVERT(sysname, o.name) AS TABLE_NAME,
    CONVERT(sysname, c.name) AS COLUMN_NAME,
    CONVERT(smallint, ic.key_ordinal) AS KEY_SEQ,
    CONVERT(sysname, i.name) AS PK_NAME
FROM sys.tables AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
JOIN sys.indexes AS i ON i.object_id = o.object_id AND i.is_primary_key = 1
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.key_ordinal > 0
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE o.name = @table_name AND s.name = ISNULL(@table_owner, SCHEMA_NAME())
ORDER BY TABLE_QUALIFIER, TABLE_OWNER, TABLE_NAME, KEY_SEQ
