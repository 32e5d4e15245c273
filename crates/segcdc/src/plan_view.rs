//! What a pipeline would do, for people and for programs.

use std::collections::BTreeMap;

use segcdc_engine_kafka_connect::ConnectorChanges;
use segcdc_engine_kafka_connect::property::Connector;
use segcdc_engine_native::copy_estimate::ranges;
use segcdc_engine_native::{CopyEstimate, Effect, LeftOut, PlannedSql, Preflight};
use segcdc_model::{Finding, QualifiedName};
use segcdc_plan::{RuleTexts, Rules, TableKey, TablePlan, TargetMode, ValuePolicy};
use serde::Serialize;

use crate::copy_view;
use crate::paint::Paint;
use crate::text::{self, Side};

/// Tables that are shown of those that are left out for one reason.
const MAX_LEFT_OUT: usize = 5;

/// What a pipeline would do.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView {
    /// The pipeline.
    pipeline: String,
    /// It exists, and would go on.
    exists: bool,
    /// Its replication slot.
    slot: String,
    /// Its publication.
    publication: String,
    /// What the checks found.
    findings: Vec<Finding>,
    /// The tables.
    tables: Vec<TableView>,
    /// Tables that would not be replicated.
    left_out: Vec<LeftOut>,
    /// The rules that count, as they were written.
    rules: RulesView,
    /// What copying would be, where `plan` looked and something would be copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<CopyEstimate>,
    /// What changed settings do to it, where `plan` looked and it exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    /// What would run on each side.
    sql: PlannedSql,
    /// The connectors, for an engine that has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connectors: Vec<Connector>,
    /// What is otherwise at connectors that are there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ConnectorChanges>,
}

/// The rules that count, as they were written.
#[derive(Debug, Serialize)]
struct RulesView {
    on_value: Vec<String>,
    #[serde(rename = "type")]
    types: Vec<String>,
    rename: Vec<String>,
    key: Vec<String>,
    append_only: Vec<String>,
    mode: Vec<String>,
    on_schema_change: Vec<String>,
    columns: Vec<String>,
    exclude_columns: Vec<String>,
    #[serde(rename = "where")]
    filters: Vec<String>,
    mask: Vec<String>,
    constant: Vec<String>,
    dead_letter_limit: Vec<String>,
    on_refused: Vec<String>,
    pick_up_new_tables: Vec<String>,
}

/// One table of a plan.
#[derive(Debug, Serialize)]
struct TableView {
    source: QualifiedName,
    target: QualifiedName,
    estimated_rows: u64,
    size_bytes: u64,
    /// Pieces in which it is copied.
    ranges: usize,
    /// `key`, `whole_row` or `append_only`; `unidentified` tables are left out.
    identity: &'static str,
    key: Vec<String>,
    /// How rows are kept, where that is not as the source has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    columns: Vec<ColumnView>,
}

/// One column of a planned table.
#[derive(Debug, Serialize)]
struct ColumnView {
    /// Name in the source.
    name: String,
    /// Name in the target.
    target_name: String,
    source_type: String,
    target_type: String,
    nullable: bool,
    /// What stands for its values, where that is not what the source has.
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
    /// Values that the target's type cannot hold, and what becomes of them.
    refuses: Option<String>,
    /// What becomes of them, in a word.
    on_value: &'static str,
}

// === impl PlanView ===

impl PlanView {
    /// What preflight says, for a copy by so many readers.
    pub(crate) fn new(
        pipeline: &str,
        slot: String,
        publication: String,
        (preflight, readers): (&Preflight, usize),
    ) -> Self {
        PlanView {
            pipeline: pipeline.to_owned(),
            exists: preflight.existing.is_some(),
            slot,
            publication,
            findings: preflight.findings.clone(),
            tables: preflight.plans.iter().map(|plan| TableView::new(plan, readers)).collect(),
            left_out: preflight.left_out.clone(),
            rules: RulesView::new(&preflight.rules),
            copy: None,
            effects: Vec::new(),
            sql: preflight.sql.clone(),
            connectors: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The same with the connectors that carry it, and what is otherwise at those that are there.
    pub(crate) fn with_connectors(self, connectors: Vec<Connector>, changes: Vec<ConnectorChanges>) -> Self {
        PlanView { connectors, changes, ..self }
    }

    /// What would be changed of connectors that are there; empty when nothing would.
    pub(crate) fn changes(&self, paint: Paint) -> String {
        let mut lines = Vec::new();
        for connector in &self.changes {
            lines.push(paint.bold(&format!("Changes of connector {}:", connector.connector)));
            lines.extend(connector.changes.iter().map(|change| format!("  {change}")));
        }
        lines.join("\n")
    }

    /// The same with what copying would be.
    pub(crate) fn with_copy(self, copy: Option<CopyEstimate>) -> Self {
        PlanView { copy, ..self }
    }

    /// The same with what changed settings do.
    pub(crate) fn with_effects(self, effects: Vec<Effect>) -> Self {
        PlanView { effects, ..self }
    }

    /// What changed settings do.
    pub(crate) fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What copying would be, for people; `None` where nothing would be copied.
    pub(crate) fn copy(&self) -> Option<String> {
        self.copy.as_ref().map(copy_view::words)
    }

    /// All properties of the connectors, each with its reason.
    pub(crate) fn connectors(&self, paint: Paint) -> String {
        let mut lines = Vec::new();
        for connector in &self.connectors {
            lines.push(paint.bold(&format!("Connector {} ({}):", connector.name, connector.role.as_str())));
            for line in &connector.properties {
                lines.push(format!("  {} = {}", line.name, line.value));
                lines.push(format!("    {}", paint.dim(&line.reason)));
            }
        }
        lines.join("\n")
    }

    /// Source names of the tables, one a line.
    pub(crate) fn names(&self) -> String {
        self.tables.iter().map(|table| table.source.to_string()).collect::<Vec<_>>().join("\n")
    }

    /// Tables, names and what is left out.
    pub(crate) fn summary(&self, paint: Paint) -> String {
        let verb = if self.exists { "goes on" } else { "is new" };
        let rows: u64 = self.tables.iter().map(|table| table.estimated_rows).sum();
        let mut lines = vec![
            format!(
                "Pipeline {} {verb}: slot {}, publication {}",
                self.pipeline, self.slot, self.publication
            ),
            format!("{}, about {} rows", text::plural(self.tables.len(), "table"), text::count(rows)),
        ];
        if !self.tables.is_empty() {
            lines.push(self.table_list());
        }
        lines.extend(self.rules.lines().into_iter().map(|rule| format!("rule {rule}")));
        lines.extend(left_out(&self.left_out, paint));
        lines.join("\n")
    }

    /// The statements, by side.
    pub(crate) fn statements(&self, paint: Paint) -> String {
        let mut lines = Vec::new();
        for (side, statements) in [("source", &self.sql.source), ("target", &self.sql.target)] {
            if statements.is_empty() {
                lines.push(paint.bold(&format!("On the {side}: nothing")));
                continue;
            }
            lines.push(paint.bold(&format!("On the {side}:")));
            lines.extend(
                statements
                    .iter()
                    .map(|sql| format!("  {};", sql.trim_end_matches(';').replace('\n', "\n  "))),
            );
        }
        lines.join("\n")
    }

    /// Each column with both types, and what the target's type refuses.
    pub(crate) fn columns(&self) -> String {
        let columns = [
            ("TABLE", Side::Left),
            ("COLUMN", Side::Left),
            ("SOURCE TYPE", Side::Left),
            ("TARGET TYPE", Side::Left),
            ("NULL", Side::Left),
            ("REFUSED", Side::Left),
        ];
        let rows = self.tables.iter().flat_map(|table| {
            table.columns.iter().map(|column| {
                vec![
                    table.source.to_string(),
                    column.arrow(),
                    column.source_type.clone(),
                    column.target_type.clone(),
                    if column.nullable { "yes" } else { "no" }.to_owned(),
                    column.refuses.clone().unwrap_or_default(),
                ]
            })
        });
        text::table(&columns, rows.collect())
    }

    fn table_list(&self) -> String {
        let columns = [
            ("TABLE", Side::Left),
            ("TARGET", Side::Left),
            ("ROWS", Side::Right),
            ("SIZE", Side::Right),
            ("PIECES", Side::Right),
            ("KEY", Side::Left),
        ];
        let rows = self.tables.iter().map(|table| {
            let key = match table.identity {
                "key" => match table.mode {
                    None => table.key.join(", "),
                    Some(mode) => format!("{} ({mode})", table.key.join(", ")),
                },
                "whole_row" => "(whole row)".to_owned(),
                "append_only" => "(rows are added)".to_owned(),
                _ => "(nothing)".to_owned(),
            };
            vec![
                table.source.to_string(),
                table.target.to_string(),
                text::count(table.estimated_rows),
                text::bytes(table.size_bytes),
                text::count(table.ranges as u64),
                key,
            ]
        });
        text::table(&columns, rows.collect())
    }
}

// === impl RulesView ===

impl RulesView {
    fn new(rules: &Rules) -> Self {
        let RuleTexts {
            values,
            types,
            renames,
            keys,
            append_only,
            modes,
            changes,
            columns,
            exclude_columns,
            filters,
            masks,
            constants,
            letter_limits,
            refused,
            pick_up,
        } = rules.texts();
        RulesView {
            on_value: values,
            types,
            rename: renames,
            key: keys,
            append_only,
            mode: modes,
            on_schema_change: changes,
            columns,
            exclude_columns,
            filters,
            mask: masks,
            constant: constants,
            dead_letter_limit: letter_limits,
            on_refused: refused,
            pick_up_new_tables: pick_up,
        }
    }

    /// The rules as options of the command line.
    fn lines(&self) -> Vec<String> {
        let of = |option: &str, texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| format!("{option} '{text}'")).collect()
        };
        [
            of("--on-value", &self.on_value),
            of("--type", &self.types),
            of("--rename", &self.rename),
            of("--key", &self.key),
            of("--append-only", &self.append_only),
            of("--mode", &self.mode),
            of("--on-schema-change", &self.on_schema_change),
            of("--columns", &self.columns),
            of("--exclude-columns", &self.exclude_columns),
            of("--where", &self.filters),
            of("--mask", &self.mask),
            of("--constant", &self.constant),
            of("--dead-letter-limit", &self.dead_letter_limit),
            of("--on-refused", &self.on_refused),
            of("new tables:", &self.pick_up_new_tables),
        ]
        .concat()
    }
}

// === impl TableView ===

impl TableView {
    fn new(plan: &TablePlan, readers: usize) -> Self {
        let name = |index: &usize| plan.columns.get(*index).map(|column| column.source_name.clone());
        TableView {
            source: plan.source.name.clone(),
            target: plan.target.clone(),
            estimated_rows: plan.source.estimated_rows,
            size_bytes: plan.source.size_bytes,
            ranges: ranges(&plan.source, readers),
            identity: match plan.key {
                TableKey::Columns(_) => "key",
                TableKey::WholeRow => "whole_row",
                TableKey::AppendOnly(_) => "append_only",
                TableKey::Unidentified => "unidentified",
            },
            key: plan.key_columns().iter().filter_map(name).collect(),
            mode: (plan.mode != TargetMode::Mirror).then_some(plan.mode.word()),
            columns: plan.columns.iter().map(|column| ColumnView::new(plan, column)).collect(),
        }
    }
}

// === impl ColumnView ===

impl ColumnView {
    /// The name, and the other one in the target.
    fn arrow(&self) -> String {
        if self.name == self.target_name {
            return self.name.clone();
        }
        format!("{} -> {}", self.name, self.target_name)
    }

    fn new(plan: &TablePlan, column: &segcdc_plan::ColumnPlan) -> Self {
        let source = plan.source.columns.get(column.source_index);
        let in_key = plan.key_columns().iter().any(|index| plan.columns.get(*index) == Some(column));
        ColumnView {
            name: column.source_name.clone(),
            target_name: column.name.clone(),
            source_type: source.map(|source| source.type_name.clone()).unwrap_or_default(),
            target_type: column.mssql_type.to_string(),
            nullable: column.nullable,
            mask: column.mask.as_ref().map(|mask| mask.mask.to_string()),
            refuses: column.refuses(in_key).map(|refused| becomes(&refused, column.policy)),
            on_value: column.policy.word(),
        }
    }
}

/// What becomes of values that are refused by default.
fn becomes(refused: &str, policy: ValuePolicy) -> String {
    let becomes = match policy {
        ValuePolicy::Halt | ValuePolicy::Text => return refused.to_owned(),
        ValuePolicy::Null => "become NULL",
        ValuePolicy::Clamp => "become the nearest value, if there is one",
        ValuePolicy::SetAside => "are set aside with their row",
    };
    refused.replace("are refused", becomes).replace("is refused", becomes)
}

/// What is left out and why, with what mends it: the first few tables of each reason.
pub(crate) fn left_out(tables: &[LeftOut], paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for table in tables {
        let count = seen.entry(&table.code).or_default();
        *count += 1;
        if *count > MAX_LEFT_OUT {
            continue;
        }
        let code = paint.dim(&format!("[{}]", table.code));
        let sign = paint.yellow("left out");
        lines.push(format!(
            "{sign} {}: {} {code}",
            text::visible(&table.table.to_string()),
            text::visible(&table.detail)
        ));
        if !table.hint.is_empty() {
            lines.push(format!("  hint {}", table.hint));
        }
        lines.extend(table.fix_sql.iter().map(|sql| format!("  fix  {sql}")));
    }
    for (code, count) in seen.into_iter().filter(|(_, count)| *count > MAX_LEFT_OUT) {
        let (sign, more) = (paint.yellow("left out"), count - MAX_LEFT_OUT);
        lines.push(format!(
            "{sign} {more} more of the same reason, which -o json lists {}",
            paint.dim(&format!("[{code}]"))
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{PgType, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
    use segcdc_plan::{Naming, table_plan};
    use std::sync::Arc;

    fn view() -> PlanView {
        let column = |name: &str, attnum, pg_type, type_name: &str, not_null| SourceColumn {
            name: name.to_owned(),
            attnum,
            pg_type,
            type_name: type_name.to_owned(),
            not_null,
            generated: false,
        };
        let source = SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "orders"),
            kind: TableKind::Ordinary,
            columns: vec![
                column("id", 1, PgType::Int8, "bigint", true),
                column("amount", 2, PgType::Numeric { bounds: None }, "numeric", false),
            ],
            primary_key: vec![0],
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 12_345,
            size_bytes: 1 << 21,
            heap_pages: 256,
            row_security: false,
            owner: "app".to_owned(),
        };
        let preflight = Preflight {
            findings: Vec::new(),
            plans: vec![Arc::new(table_plan(&source, &Naming::new("dbo")).unwrap())],
            left_out: vec![LeftOut {
                table: QualifiedName::new("public", "audit"),
                code: "NO_REPLICA_IDENTITY".to_owned(),
                detail: "it has no primary key".to_owned(),
                hint: "add a key, or publish whole rows".to_owned(),
                fix_sql: Some("ALTER TABLE \"public\".\"audit\" REPLICA IDENTITY FULL".to_owned()),
            }],
            sql: PlannedSql {
                source: vec![
                    "CREATE PUBLICATION \"segcdc_shop\" FOR TABLE ONLY \"public\".\"orders\"".to_owned(),
                ],
                target: Vec::new(),
            },
            existing: None,
            rules: Rules::default(),
        };
        PlanView::new("shop", "segcdc_shop_g1".to_owned(), "segcdc_shop".to_owned(), (&preflight, 4))
    }

    #[test]
    fn a_plan_can_be_read() {
        insta::assert_snapshot!("plan_summary", view().summary(Paint::Plain));
        insta::assert_snapshot!("plan_statements", view().statements(Paint::Plain));
        insta::assert_snapshot!("plan_columns", view().columns());
        insta::assert_json_snapshot!("plan_json", view());
    }
}
