//! Every T-SQL statement of the product, one family a file. Each can be printed without a server; the golden files
//! beside the tests show them as they are sent.

pub mod apply;
pub mod catalog;
pub mod create_table;
pub mod direct;
pub mod form;
pub mod large_transaction;
pub mod letter_changes;
pub mod letters;
pub mod mark;
pub mod partial_transaction;
pub mod post_load;
pub mod rows;
pub mod schema_changes;
pub mod session;
pub mod shadow;
pub mod skipped_transaction;
pub mod slot_watch;
pub mod staging;
pub mod state;
pub mod table_wish;
