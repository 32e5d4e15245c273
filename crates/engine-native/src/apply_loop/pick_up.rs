//! Tables that are made at the source while the pipeline runs, and that it takes in by itself.
//!
//! ```text
//! heartbeat --> names of the catalog --> wanted, not ours, not removed --> judged --yes--> a wish, as `segcdc table add` makes it
//!                                                                            |
//!                                                                            +--no--> recorded once, with the reason
//! ```
//!
//! What becomes of the wish is the wish's business: publication, target table and copy are those of a table that a person
//! adds. A table is asked for once for each shape that it has, so that one whose wish was refused is not asked for again and again.

use std::collections::HashMap;

use segcdc_model::{QualifiedName, SourceTable};
use segcdc_sqlserver::{TableWish, WishOutcome};

use super::Loop;
use super::gone::Record;
use crate::error::EngineError;
use crate::ports::{Ports, SourcePort, TablesPort};
use crate::preflight::judge;
use crate::wish::Wish;

/// The kind of record of a table that a person took out.
pub(super) const REMOVED: &str = "remove-table";

/// The kind of record of a new table.
const NEW: &str = "new-table";

/// New tables that were seen, by OID: as they were then.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u32, SourceTable>);

// === impl Seen ===

impl Seen {
    /// Whether a table is another one than it was when it was last seen, as far as that can change a verdict; it is known from here on.
    fn is_news(&mut self, table: &SourceTable) -> bool {
        // How large it is changes all the time.
        let shape = SourceTable { estimated_rows: 0, size_bytes: 0, heap_pages: 0, ..table.clone() };
        self.0.insert(shape.oid, shape.clone()).is_none_or(|before| before != shape)
    }
}

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Takes new tables in that are wanted.
    pub(super) async fn pick_up(&mut self) -> Result<(), EngineError> {
        let context = self.context;
        let rules = &context.config.rules;
        if !rules.picks_up_any() {
            return Ok(());
        }
        let pipeline = context.config.name.clone();
        let state = self.target.known_state(&pipeline).await?;
        let ours: Vec<u32> = state.tables.iter().map(|table| table.source_oid).collect();
        let is_wanted = |oid: u32, name: &QualifiedName| rules.picks_up(name) && !ours.contains(&oid);
        let found = self.source.new_tables(&is_wanted).await?;
        // One that has the name of a table of ours came in its place, which is that table's matter.
        let has_our_name = |table: &SourceTable| state.tables.iter().any(|known| known.source == table.name);
        let found: Vec<SourceTable> =
            found.into_iter().filter(|table| !has_our_name(table) && self.seen_new.is_news(table)).collect();
        if found.is_empty() {
            return Ok(());
        }
        let records = self.target.last_records(&pipeline, &[NEW, REMOVED]).await?;
        let naming = context.naming();
        let mut wishes = Vec::new();
        for table in &found {
            let last = records.get(&table.oid);
            if last.is_some_and(|[kind, ..]| kind == REMOVED) {
                continue;
            }
            let (outcome, what) = match judge(table, &naming, None) {
                Ok(_) => {
                    wishes.push(wish(table));
                    ("applied", "the table is new, and is added".to_owned())
                }
                Err(left_out) => {
                    let what = format!(
                        "the table is new, and cannot be added: {}: {}; {}",
                        left_out.code, left_out.detail, left_out.hint
                    );
                    ("refused", what.chars().take(1000).collect())
                }
            };
            if last.is_some_and(|[_, before, said]| before == outcome && *said == what) {
                continue;
            }
            let (source_oid, source) = (table.oid, &table.name);
            self.record(Record { source_oid, source, kind: NEW, outcome, what }).await?;
        }
        if !wishes.is_empty() {
            self.target.add_table_wishes(&pipeline, &wishes).await?;
            self.look_at_wishes().await?;
        }
        Ok(())
    }
}

/// The wish that a table becomes one of the pipeline.
fn wish(table: &SourceTable) -> TableWish {
    TableWish {
        id: uuid::Uuid::new_v4().to_string(),
        source_oid: table.oid,
        source: table.name.clone(),
        wish: serde_json::to_string(&Wish::Add).unwrap_or_default(),
        outcome: WishOutcome::Asked,
        detail: String::new(),
        asked_at_us: 0,
    }
}
