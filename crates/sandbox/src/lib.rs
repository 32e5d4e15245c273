//! A development-only TDS server that runs a closed subset of T-SQL on a private PostgreSQL; not SQL Server
