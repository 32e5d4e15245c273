SELECT CONVERT(sysname, DB_NAME()) AS TABLE_QUALIFIER,
    CONVERT(sysname, s.name) AS TABLE_OWNER,
    CONVERT(sysname, o.name) AS TABLE_NAME,
    CONVERT(varchar(32), 'TABLE') AS TABLE_TYPE,
    CONVERT(varchar(254), NULL) AS REMARKS
FROM sys.tables AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE (@table_name IS NULL OR @fUsePattern = 1 AND o.name LIKE @table_name OR o.name = @table_name)
    AND (@table_owner IS NULL OR @fUsePattern = 1 AND s.name LIKE @table_owner OR s.name = @table_owner)
    AND (@table_type IS NULL OR CHARINDEX('''TABLE''', @table_type) > 0)
ORDER BY TABLE_TYPE, TABLE_QUALIFIER, TABLE_OWNER, TABLE_NAME
