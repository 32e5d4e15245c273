//! stub
use crate::{SourceConfig, SourceError};
use segcdc_model::{Lsn, SourceTable, Tuple};
/// A snapshot exported by creating a slot; lives as long as this value.
#[derive(Debug)]
pub struct ExportedSnapshot {}
/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyRange {
    /// All of it.
    Whole,
    /// Heap pages `from..to`; `to` of `None` means to the end, whatever has been added.
    Pages {
        /// First page.
        from: u32,
        /// Page behind the last one.
        to: Option<u32>,
    },
}
/// What to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyRequest<'a> {
    /// Name of an exported snapshot; `None` copies what is there now.
    pub snapshot: Option<&'a str>,
    /// The table.
    pub table: &'a SourceTable,
    /// Indices into `table.columns`, in the order in which tuples shall have them.
    pub columns: &'a [usize],
    /// Which part.
    pub range: CopyRange,
    /// Indices into `table.columns` to order the rows by, text by its bytes; empty for no order.
    pub order_by: &'a [usize],
}
/// Rows of a table.
#[derive(Debug)]
pub struct RowStream {}
impl ExportedSnapshot {
    /// create
    pub async fn create(
        config: &SourceConfig,
        slot: &str,
        temporary: bool,
    ) -> Result<ExportedSnapshot, SourceError> {
        let _ = (config, slot, temporary);
        unimplemented!()
    }
    /// name
    pub fn name(&self) -> &str {
        ""
    }
    /// lsn
    pub fn lsn(&self) -> Lsn {
        Lsn::ZERO
    }
}
/// split
pub fn split(table: &SourceTable, readers: usize) -> Vec<CopyRange> {
    let _ = (table, readers);
    unimplemented!()
}
/// copy
pub async fn copy(config: &SourceConfig, request: CopyRequest<'_>) -> Result<RowStream, SourceError> {
    let _ = (config, request);
    unimplemented!()
}
impl RowStream {
    /// next
    pub async fn next(&mut self) -> Result<Option<Tuple>, SourceError> {
        unimplemented!()
    }
}
