//! T-SQL: text to tokens to statements to PostgreSQL's SQL.
//!
//! - `lexer`, `ast`, `parser`: the closed list of statements; anything else is error 102 or 156
//! - `collation`, `physical`, `table`, `system`: how types, texts and tables of SQL Server live in PostgreSQL
//! - `translate`: a statement with all its types known into one of PostgreSQL's

pub(crate) mod ast;
pub(crate) mod collation;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod physical;
pub(crate) mod system;
pub(crate) mod table;
pub(crate) mod translate;
