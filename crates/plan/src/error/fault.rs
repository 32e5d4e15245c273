//! What each [`PlanError`] is called, what becomes of the table, and what a person can do.

use segcdc_model::{Disposition, Fault, QualifiedName};

use super::PlanError;
use crate::rules::{
    ChangeKind, ChangePolicy, MOST_LETTER_LIMIT, TargetMode, append_only_ignoring, of_column, of_table,
    on_schema_change, rename_column, rename_table,
};
use crate::target_name;

/// The flag that makes `target` of a table.
fn moved(table: &QualifiedName, target: &QualifiedName) -> String {
    rename_table(table, Some(&target.schema), &target.name)
}

impl Fault for PlanError {
    fn code(&self) -> &'static str {
        match self {
            PlanError::NotStreamable { .. } => "TABLE_NOT_STREAMABLE",
            PlanError::MoneyLocale { .. } => "MONEY_LOCALE",
            PlanError::ReservedSchema { .. } => "SCHEMA_RESERVED",
            PlanError::TargetName { .. } | PlanError::ColumnName { .. } => "IDENTIFIER_INVALID",
            PlanError::NoColumns { .. } => "TABLE_WITHOUT_COLUMNS",
            PlanError::TooManyColumns { .. } => "TOO_MANY_COLUMNS",
            PlanError::ColumnNameClash { .. } => "COLUMN_NAME_CLASH",
            PlanError::TargetNameClash { .. } => "DUPLICATE_MAPPING",
            PlanError::KeyTooWide { .. } => "KEY_TOO_WIDE",
            PlanError::KeyUnusable { .. } => "KEY_UNUSABLE",
            PlanError::ColumnChoice { .. } => "COLUMN_CHOICE_IMPOSSIBLE",
            PlanError::PolicyImpossible { .. } => "POLICY_IMPOSSIBLE",
            PlanError::MaskImpossible { .. } => "MASK_IMPOSSIBLE",
            PlanError::ModeImpossible { .. } => "MODE_IMPOSSIBLE",
            PlanError::ConstantImpossible { .. } => "CONSTANT_IMPOSSIBLE",
            PlanError::TypeImpossible { .. } => "TYPE_IMPOSSIBLE",
            PlanError::TypeNarrows { .. } => "TYPE_NARROWS",
            PlanError::SchemaChanged { .. } | PlanError::SchemaChangeHalted { .. } => "SCHEMA_CHANGED",
            PlanError::TableRecreated { .. } => "TABLE_RECREATED",
            PlanError::ReplicaIdentityChanged { .. } => "REPLICA_IDENTITY_CHANGED",
            PlanError::UnidentifiedChanged { .. } => "NO_REPLICA_IDENTITY",
            PlanError::AppendOnlyChanged { .. } => "APPEND_ONLY_CHANGED",
            PlanError::RowEntersInPart { .. } => "ROW_ENTERS_IN_PART",
            PlanError::DeadLetterLimit { .. } => "DEAD_LETTER_LIMIT",
            PlanError::Contradiction { .. } => "STREAM_CONTRADICTION",
            PlanError::Value { source, .. } => source.code(),
            PlanError::EmptyBatch => "BATCH_EMPTY",
            PlanError::OutOfOrder { .. } => "STREAM_OUT_OF_ORDER",
            PlanError::NotInMemory { .. } => "BATCH_NOT_IN_MEMORY",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            PlanError::NotStreamable { .. }
            | PlanError::MoneyLocale { .. }
            | PlanError::ReservedSchema { .. }
            | PlanError::TargetName { .. }
            | PlanError::NoColumns { .. }
            | PlanError::TooManyColumns { .. }
            | PlanError::ColumnName { .. }
            | PlanError::ColumnNameClash { .. }
            | PlanError::TargetNameClash { .. }
            | PlanError::KeyTooWide { .. }
            | PlanError::KeyUnusable { .. }
            | PlanError::ColumnChoice { .. }
            | PlanError::PolicyImpossible { .. }
            | PlanError::MaskImpossible { .. }
            | PlanError::ModeImpossible { .. }
            | PlanError::ConstantImpossible { .. }
            | PlanError::TypeImpossible { .. }
            | PlanError::TypeNarrows { .. }
            | PlanError::SchemaChanged { .. }
            | PlanError::SchemaChangeHalted { all: false, .. }
            | PlanError::TableRecreated { .. }
            | PlanError::ReplicaIdentityChanged { .. }
            | PlanError::UnidentifiedChanged { .. }
            | PlanError::AppendOnlyChanged { .. }
            | PlanError::RowEntersInPart { .. }
            | PlanError::DeadLetterLimit { .. }
            | PlanError::Contradiction { .. }
            | PlanError::Value { .. } => Disposition::HaltTable,
            PlanError::SchemaChangeHalted { all: true, .. }
            | PlanError::EmptyBatch
            | PlanError::OutOfOrder { .. }
            | PlanError::NotInMemory { .. } => Disposition::Halt,
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm a case, which the page of error codes is written from"
    )]
    fn hint(&self) -> String {
        match self {
            PlanError::MoneyLocale { .. } => {
                "take the setting from the role with ALTER ROLE ... RESET lc_monetary (and with IN DATABASE ..., if it \
                 is there), or say what the database means with ALTER DATABASE ... SET lc_monetary; or leave the table out"
            }
            PlanError::NotStreamable { .. } => {
                "leave it out, or replicate the tables behind a view, or make an unlogged table a logged one"
            }
            PlanError::ReservedSchema { table, target } => {
                let flag = moved(table, &target_name::in_other_schema(target));
                return format!("send it to another schema, {flag}, or leave the table out");
            }
            PlanError::TargetName { table, target, .. } => {
                let flag = moved(table, &target_name::possible(target));
                return format!("give it another name, {flag}, or leave the table out");
            }
            PlanError::ColumnName { table, column, target, .. } => {
                let flag = rename_column(table, column, &target_name::free(target, |_| false));
                return format!("give it another name, {flag}");
            }
            PlanError::NoColumns { .. } => "leave the table out, or add a column to it",
            PlanError::TooManyColumns { .. } => "leave the table out, or split it at the source",
            PlanError::ColumnNameClash { table, column, free, .. } => {
                let flag = rename_column(table, column, free);
                return format!("give one of the two columns another name, {flag}");
            }
            PlanError::TargetNameClash { table, target, free, .. } => {
                let flag = rename_table(table, Some(&target.schema), free);
                return format!("give one of the two tables another name, {flag}, or leave one out");
            }
            PlanError::KeyUnusable { identity: Some(_), .. } => {
                "make the index the replica identity, or set REPLICA IDENTITY FULL"
            }
            PlanError::KeyUnusable { .. } => {
                "name a unique index of plain NOT NULL columns, of all rows and not deferrable; without --key, rows are matched by \
                 their whole content (REPLICA IDENTITY FULL)"
            }
            PlanError::KeyTooWide { .. } => {
                "choose a narrower unique index with ALTER TABLE ... REPLICA IDENTITY USING INDEX"
            }
            PlanError::ColumnChoice { .. } => {
                "name columns that are there and sent with --columns, the key's among them, and leave none of the key out with \
                 --exclude-columns"
            }
            PlanError::PolicyImpossible { .. } => {
                "give the column another policy: text, set_aside, or the default halt"
            }
            PlanError::MaskImpossible { .. } => {
                "mask it with hash, which takes any column and keeps different values apart, or leave it out with \
                 --exclude-columns; a column that is called otherwise now needs a rule with its new name"
            }
            PlanError::ModeImpossible { table, .. } => {
                let rule = of_table("--mode", table, TargetMode::Mirror.word());
                return format!(
                    "keep it as it is at the source, {rule}, identify its rows by a key, with --key or REPLICA IDENTITY USING INDEX, or \
                     give the column another name with --rename"
                );
            }
            PlanError::ConstantImpossible { .. } => {
                "give the column another name: --constant 'TABLE.COLUMN=VALUE'"
            }
            PlanError::TypeImpossible { .. } => {
                "give the column one of these types with --type, or leave the rule away: the usual type holds every value \
                 (docs/reference/types.md)"
            }
            PlanError::TypeNarrows { table, column, in_key, .. } => {
                let rule = of_column("--on-value", table, column, "set_aside");
                let other_policies =
                    if *in_key { "halt (the table)" } else { "halt (the table), null or clamp" };
                return format!("say what becomes of them: {rule}, or {other_policies}; or choose a wider type");
            }
            PlanError::SchemaChanged { .. } => {
                "bring the target table to the new shape, then copy the table again"
            }
            PlanError::SchemaChangeHalted { table, kind, all, .. } => {
                let rule = |policy| on_schema_change(table, *kind, policy);
                let (apply, ignore) = (rule(ChangePolicy::Apply), rule(ChangePolicy::Ignore));
                return match all {
                    true => format!("start it again with {apply} or {ignore}"),
                    false => format!(
                        "copy the table again with segcdc table resync; {apply} or {ignore} lets such changes pass from then on"
                    ),
                };
            }
            PlanError::TableRecreated { .. } => "copy the table again",
            PlanError::ReplicaIdentityChanged { table, .. } => {
                let rule = on_schema_change(table, ChangeKind::DropIdentity, ChangePolicy::Ignore);
                return format!(
                    "set the replica identity back to what it was, then copy the table again; {rule} lets a table go on of which \
                     PostgreSQL sends nothing of old rows"
                );
            }
            PlanError::UnidentifiedChanged { .. } => {
                "add a primary key, or set REPLICA IDENTITY FULL, then copy the table again"
            }
            PlanError::AppendOnlyChanged { table, .. } => {
                let rule = append_only_ignoring(table);
                return format!("{rule} leaves them out, without it they are applied; then copy the table again");
            }
            PlanError::RowEntersInPart { .. } => {
                "set REPLICA IDENTITY FULL, with which PostgreSQL sends long values that an UPDATE did not touch; then copy the table \
                 again with segcdc table resync"
            }
            PlanError::DeadLetterLimit { table, limit, .. } => {
                let more = limit.saturating_mul(10).clamp(1, MOST_LETTER_LIMIT).to_string();
                let rule = of_table("--dead-letter-limit", table, &more);
                return format!(
                    "look at what segcdc deadletter lists; correct the rows at the source, give the column another policy \
                     (text holds everything), or let more rows be set aside, {rule}; then copy the table again"
                );
            }
            PlanError::Contradiction { .. } => {
                "copy the table again, and report this: it is a fault of the product or of the stream"
            }
            PlanError::Value { source, .. } => return source.hint(),
            PlanError::EmptyBatch | PlanError::OutOfOrder { .. } | PlanError::NotInMemory { .. } => {
                "restart the pipeline; it goes on from its checkpoint. If it happens again, report it"
            }
        }
        .to_owned()
    }

    fn fix_sql(&self) -> Option<String> {
        None
    }
}
