//! The vocabulary of SEG CDC, in reading order. Data only: no I/O, no driver, no clock.
//!
//! ```text
//! PostgreSQL --> Relation, Tuple, Change, Transaction --> (plan) --> ApplyPlan --> SQL Server
//!                      Lsn  <-- Checkpoint, acknowledged after the target committed --+
//! ```
//!
//! - [`lsn`]: where in the WAL something is
//! - [`name`], [`name_pattern`]: what schemas, tables and columns are called, and which of them a user means
//! - [`given`]: what users give that no catalog knows
//! - [`pg_type`], [`mssql_type`]: what columns hold, on each side
//! - [`source_table`], [`catalog_table`]: a table as the source's catalog describes it, and what tells its columns apart
//! - [`relation`], [`mod@tuple`], [`change`], [`transaction`]: what the logical stream says
//! - [`large`], [`spilled`]: a field that is too large for memory, and changes that are too many
//! - [`value`]: one decoded datum on its way from one server to the other
//! - [`checkpoint`]: what the target has durably applied, and of which source
//! - [`finding`], [`fault`]: what preflight says, and what an error must say
//! - [`status`]: phases of a pipeline and of its tables
//! - [`secret`]: values that never print
//! - [`tls_facts`]: how the way to a server is protected
//! - [`mod@hex`]: bytes as hexadecimal digits
//! - [`mutant`]: mistakes that tests plant

pub mod catalog_table;
pub mod change;
pub mod checkpoint;
pub mod extras;
pub mod fault;
pub mod finding;
pub mod given;
pub mod hex;
pub mod large;
pub mod lsn;
pub mod mssql_type;
pub mod mutant;
pub mod name;
pub mod name_pattern;
pub mod pg_type;
pub mod relation;
pub mod secret;
pub mod source_table;
pub mod spilled;
pub mod status;
pub mod tls_facts;
pub mod transaction;
pub mod tuple;
pub mod value;

pub use catalog_table::{Attribute, CatalogTable};
pub use change::{Change, OldTuple};
pub use checkpoint::{Checkpoint, Lineage};
pub use extras::{ColumnDefault, ExtraIndex, ForeignKey, ReferenceAction, SequenceState, TableExtras};
pub use fault::{Disposition, Fault};
pub use finding::{Finding, Severity, Side};
pub use hex::hex;
pub use large::{LARGE_BLOCK_BYTES, LargeFacts, LargeKind, LargeRef, LargeStore, LargeValue};
pub use lsn::Lsn;
pub use mssql_type::{Length, MssqlType};
pub use name::QualifiedName;
pub use name_pattern::NamePattern;
pub use pg_type::PgType;
pub use relation::{Relation, RelationColumn};
pub use secret::Secret;
pub use source_table::{IndexFlaw, ReplicaIdentity, SourceColumn, SourceIndex, SourceTable, TableKind};
pub use spilled::{ChangeStore, SpilledChanges};
pub use status::{Phase, TablePhase};
pub use tls_facts::{CertificateCheck, TlsFacts};
pub use transaction::Transaction;
pub use tuple::{Field, Tuple, TupleBuilder};
pub use value::{ArrayElement, Value};
