//! The SQL Server wire protocol (TDS 7.4 and 8.0), client side, with bulk load
