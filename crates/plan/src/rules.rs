//! [`Rules`]: what a user says about tables and columns beyond what follows from their types.
//!
//! ```text
//! --on-value  null                          every column, as far as it can             Selector::Everything
//! --on-value  timestamptz=text              every column of a source type              Selector::Type
//! --on-value  public.orders=set_aside       a table (with * and ? several)             Selector::Table
//! --on-value  'public.orders."Total"=text'  a column                                   Selector::Column
//! --type      'public.orders.total=decimal(28,6)'
//! --rename    public.orders=dbo.Orders2     --rename 'public.orders."Id"=Id2'
//! --key       public.log=log_id             --key 'public.log=(site, number)'
//! --append-only public.log                  --append-only public.log=ignore
//! --mode      soft-delete                   --mode 'public.audit_*=mirror'
//! --columns   'public.orders=(id, total)'   --exclude-columns 'public.*.password'
//! --where     "public.orders: region = 'EU'"
//! --mask      public.people.email=hash      --mask 'public.*.phone=truncate:4'
//! --constant  public.orders.region=eu-west  --constant 'public.*.site:int=7'
//! --on-refused set_aside                    --on-refused 'public.orders=halt'
//! --dead-letter-limit 50                    --dead-letter-limit 'public.orders=0'
//! --on-schema-change halt                   --on-schema-change 'public.*:drop-column=apply'
//! ```
//!
//! The most specific rule counts: a column's before a table's, a table's before a type's, a type's before one for
//! everything; among these, one without wildcards before one with; among equals the later one.
//!
//! Rules are kept as they were written ([`Rules::texts`]), which is also how the target's state stores them.

mod append_only;
mod change_policy;
mod constant;
mod flag;
mod letter_limit;
mod mask;
mod on_refused;
pub mod pick_up;
mod read;
mod row_filter;
mod selector;
mod target_mode;
mod value_policy;

use segcdc_model::{Disposition, Fault, QualifiedName, SourceColumn, SourceTable};
use serde::{Deserialize, Serialize};

use crate::target_type::TargetType;

pub use append_only::OnChange;
pub use change_policy::{ChangeKind, ChangePolicy, ChangeRule};
pub use constant::Constant;
pub use flag::{append_only_ignoring, of_column, of_table, on_schema_change, rename_column, rename_table};
pub use letter_limit::{MOST_LETTER_LIMIT, USUAL_LETTER_LIMIT};
pub use mask::{MOST_TRUNCATED, Mask};
pub use on_refused::OnRefused;
pub use pick_up::PickUp;
pub use row_filter::RowFilter;
pub use selector::Selector;
pub use target_mode::{DELETED_AT, DELETED_AT_TYPE, TargetMode};
pub use value_policy::ValuePolicy;

/// What a user says about tables and columns. Plain data; the default says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// What becomes of values that the target cannot hold.
    pub values: Vec<Rule<ValuePolicy>>,
    /// Target types.
    pub types: Vec<Rule<TargetType>>,
    /// Names in the target.
    pub renames: Vec<Rule<NewName>>,
    /// What identifies the rows of tables.
    pub keys: Vec<Rule<KeyChoice>>,
    /// Tables that only grow in the target.
    pub append_only: Vec<Rule<OnChange>>,
    /// How the rows of target tables are kept.
    pub modes: Vec<Rule<TargetMode>>,
    /// What becomes of changes of source tables.
    pub changes: Vec<Rule<ChangeRule>>,
    /// The columns of tables that are replicated, and no others.
    pub columns: Vec<Rule<Vec<String>>>,
    /// Columns that are not replicated.
    pub exclude_columns: Vec<Rule<LeaveOut>>,
    /// The rows of tables that are replicated, and no others.
    pub filters: Vec<Rule<RowFilter>>,
    /// What stands in the target for the values of columns.
    pub masks: Vec<Rule<Mask>>,
    /// Columns that only the target has.
    pub constants: Vec<Rule<Constant>>,
    /// How many rows of a table may be set aside.
    pub letter_limits: Vec<Rule<u64>>,
    /// What becomes of rows that the target's tables refuse.
    pub refused: Vec<Rule<OnRefused>>,
    /// Tables that are taken in when they are made.
    pub pick_up: Vec<Rule<PickUp>>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<T> {
    /// What it is about.
    pub selector: Selector,
    /// What it says.
    pub says: T,
    /// As it was written.
    pub text: String,
}

/// What identifies the rows of a table, as its user wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// A unique index, by its name.
    Index(String),
    /// The columns of a unique index, in any order.
    Columns(Vec<String>),
}

/// A column is not replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaveOut;

/// A name in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName {
    /// The schema of a table; `None` keeps it, and for a column.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

/// Rules as they were written, by kind; what is stored and read again, under the names of the options. Kinds that came
/// later are left out where there are none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleTexts {
    /// Of [`Rules::values`].
    #[serde(default, rename = "on_value")]
    pub values: Vec<String>,
    /// Of [`Rules::types`].
    #[serde(default, rename = "type")]
    pub types: Vec<String>,
    /// Of [`Rules::renames`].
    #[serde(default, rename = "rename")]
    pub renames: Vec<String>,
    /// Of [`Rules::keys`].
    #[serde(default, rename = "key", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Of [`Rules::append_only`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub append_only: Vec<String>,
    /// Of [`Rules::modes`].
    #[serde(default, rename = "mode", skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<String>,
    /// Of [`Rules::changes`].
    #[serde(default, rename = "on_schema_change", skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Of [`Rules::columns`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Of [`Rules::exclude_columns`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_columns: Vec<String>,
    /// Of [`Rules::filters`].
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// Of [`Rules::masks`].
    #[serde(default, rename = "mask", skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<String>,
    /// Of [`Rules::constants`].
    #[serde(default, rename = "constant", skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<String>,
    /// Of [`Rules::letter_limits`].
    #[serde(default, rename = "dead_letter_limit", skip_serializing_if = "Vec::is_empty")]
    pub letter_limits: Vec<String>,
    /// Of [`Rules::refused`].
    #[serde(default, rename = "on_refused", skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Of [`Rules::pick_up`].
    #[serde(default, rename = "pick_up_new_tables", skip_serializing_if = "Vec::is_empty")]
    pub pick_up: Vec<String>,
}

/// Why a rule cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} \"{text}\" cannot be understood: {reason}")]
pub struct RuleError {
    /// The option that it was given with.
    pub option: &'static str,
    /// The rule, cut after 200 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

// === impl Rules ===

impl Rules {
    /// Reads rules, each in a text of its own.
    ///
    /// # Errors
    /// The first one that cannot be understood.
    pub fn parse(texts: &RuleTexts) -> Result<Rules, RuleError> {
        fn all<T>(
            texts: &[String],
            read: impl Fn(&str) -> Result<Rule<T>, RuleError>,
        ) -> Result<Vec<Rule<T>>, RuleError> {
            texts.iter().map(|text| read(text)).collect()
        }
        Ok(Rules {
            values: all(&texts.values, read::value_rule)?,
            types: all(&texts.types, read::type_rule)?,
            renames: all(&texts.renames, read::rename_rule)?,
            keys: all(&texts.keys, read::key_rule)?,
            append_only: all(&texts.append_only, read::append_rule)?,
            modes: all(&texts.modes, read::mode_rule)?,
            changes: all(&texts.changes, read::change_rule)?,
            columns: all(&texts.columns, read::columns_rule)?,
            exclude_columns: all(&texts.exclude_columns, read::exclude_rule)?,
            filters: all(&texts.filters, read::filter_rule)?,
            masks: all(&texts.masks, read::mask_rule)?,
            constants: all(&texts.constants, read::constant_rule)?,
            letter_limits: all(&texts.letter_limits, read::limit_rule)?,
            refused: all(&texts.refused, read::refused_rule)?,
            pick_up: all(&texts.pick_up, read::pick_up_rule)?,
        })
    }

    /// The rules as they were written.
    pub fn texts(&self) -> RuleTexts {
        fn all<T>(rules: &[Rule<T>]) -> Vec<String> {
            rules.iter().map(|rule| rule.text.clone()).collect()
        }
        RuleTexts {
            values: all(&self.values),
            types: all(&self.types),
            renames: all(&self.renames),
            keys: all(&self.keys),
            append_only: all(&self.append_only),
            modes: all(&self.modes),
            changes: all(&self.changes),
            columns: all(&self.columns),
            exclude_columns: all(&self.exclude_columns),
            filters: all(&self.filters),
            masks: all(&self.masks),
            constants: all(&self.constants),
            letter_limits: all(&self.letter_limits),
            refused: all(&self.refused),
            pick_up: all(&self.pick_up),
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// These rules; of each kind of which they say nothing, those of `stored`.
    #[must_use]
    pub fn over(&self, stored: &Rules) -> Rules {
        fn either<T: Clone>(new: &[T], old: &[T]) -> Vec<T> {
            if new.is_empty() { old.to_vec() } else { new.to_vec() }
        }
        Rules {
            values: either(&self.values, &stored.values),
            types: either(&self.types, &stored.types),
            renames: either(&self.renames, &stored.renames),
            keys: either(&self.keys, &stored.keys),
            append_only: either(&self.append_only, &stored.append_only),
            modes: either(&self.modes, &stored.modes),
            changes: either(&self.changes, &stored.changes),
            columns: either(&self.columns, &stored.columns),
            exclude_columns: either(&self.exclude_columns, &stored.exclude_columns),
            filters: either(&self.filters, &stored.filters),
            masks: either(&self.masks, &stored.masks),
            constants: either(&self.constants, &stored.constants),
            letter_limits: either(&self.letter_limits, &stored.letter_limits),
            refused: either(&self.refused, &stored.refused),
            pick_up: either(&self.pick_up, &stored.pick_up),
        }
    }

    /// What is said of a column's values, and how specific that is.
    pub fn value_policy(&self, table: &QualifiedName, column: &SourceColumn) -> Option<&Rule<ValuePolicy>> {
        most_specific(&self.values, |selector| selector.matches_column(table, column))
    }

    /// The target type that is wished for a column.
    pub fn target_type(&self, table: &QualifiedName, column: &SourceColumn) -> Option<&Rule<TargetType>> {
        most_specific(&self.types, |selector| selector.matches_column(table, column))
    }

    /// The name that is wished for a table.
    pub fn table_name(&self, table: &QualifiedName) -> Option<&Rule<NewName>> {
        most_specific(&self.renames, |selector| selector.is_table() && selector.matches_table(table))
    }

    /// What is wished to identify the rows of a table.
    pub fn key(&self, table: &QualifiedName) -> Option<&Rule<KeyChoice>> {
        most_specific(&self.keys, |selector| selector.matches_table(table))
    }

    /// What becomes of changes in a table that is to grow only; `None` for all others.
    pub fn append_only(&self, table: &QualifiedName) -> Option<OnChange> {
        most_specific(&self.append_only, |selector| selector.matches_table(table)).map(|rule| rule.says)
    }

    /// How the rows of a target table are kept.
    pub fn mode(&self, table: &QualifiedName) -> TargetMode {
        let rule = most_specific(&self.modes, |selector| selector.matches_table(table));
        rule.map_or(TargetMode::default(), |rule| rule.says)
    }

    /// What becomes of a kind of change of a table: by the most specific rule about it, among these by one for the kind.
    pub fn on_schema_change(&self, table: &QualifiedName, kind: ChangeKind) -> ChangePolicy {
        let about = |rule: &&Rule<ChangeRule>| {
            rule.selector.matches_table(table) && rule.says.kind.is_none_or(|about| about == kind)
        };
        let specificity = |rule: &&Rule<ChangeRule>| (rule.selector.specificity(), rule.says.kind.is_some());
        let rule = self.changes.iter().filter(about).max_by_key(specificity);
        rule.map_or_else(|| kind.usual(), |rule| rule.says.policy)
    }

    /// Whether any new table is taken in.
    pub fn picks_up_any(&self) -> bool {
        self.pick_up.iter().any(|rule| rule.says == PickUp::In)
    }

    /// Whether a new table is taken in: a rule does, and none keeps it out.
    pub fn picks_up(&self, table: &QualifiedName) -> bool {
        let says =
            |says| self.pick_up.iter().any(|rule| rule.says == says && rule.selector.matches_table(table));
        says(PickUp::In) && !says(PickUp::Out)
    }

    /// The name that is wished for a column.
    pub fn column_name(&self, table: &QualifiedName, column: &SourceColumn) -> Option<&Rule<NewName>> {
        most_specific(&self.renames, |selector| {
            selector.is_column() && selector.matches_column(table, column)
        })
    }

    /// The columns of a table that are wanted and no others; `None` when nothing says so.
    pub fn columns(&self, table: &QualifiedName) -> Option<&[String]> {
        most_specific(&self.columns, |selector| selector.matches_table(table))
            .map(|rule| rule.says.as_slice())
    }

    /// The condition that rows of a table have to meet; `None` for all rows.
    pub fn filter(&self, table: &QualifiedName) -> Option<&RowFilter> {
        most_specific(&self.filters, |selector| selector.matches_table(table)).map(|rule| &rule.says)
    }

    /// What stands in the target for the values of a column; `None` for the values themselves.
    pub fn mask(&self, table: &QualifiedName, column: &SourceColumn) -> Option<Mask> {
        most_specific(&self.masks, |selector| selector.matches_column(table, column)).map(|rule| rule.says)
    }

    /// Whether a value of any table is to be hashed.
    pub fn hashes(&self) -> bool {
        self.masks.iter().any(|rule| rule.says == Mask::Hash)
    }

    /// A column that a mask names, in a table that there is, and that is none of it.
    pub(crate) fn masked_in_vain(&self, table: &SourceTable) -> Option<(String, Mask)> {
        self.masks.iter().find_map(|rule| {
            let Selector::Column { column, .. } = &rule.selector else { return None };
            let name = column.literal().filter(|_| rule.selector.is_literal())?;
            let is_missing = table.columns.iter().all(|column| column.name != name);
            (rule.selector.matches_table(&table.name) && is_missing).then_some((name, rule.says))
        })
    }

    /// The columns that only the target has of a table; of several rules for one name the most specific, in the order of the
    /// first for each.
    pub fn constants(&self, table: &QualifiedName) -> Vec<&Constant> {
        let about = |rule: &&Rule<Constant>| rule.selector.matches_table(table);
        let mut names: Vec<&str> = Vec::new();
        for rule in self.constants.iter().filter(about) {
            if !names.contains(&rule.says.name.as_str()) {
                names.push(&rule.says.name);
            }
        }
        let of_name = |name: &&str| {
            let rules = self.constants.iter().filter(|rule| about(rule) && rule.says.name == *name);
            rules.max_by_key(|rule| rule.selector.specificity()).map(|rule| &rule.says)
        };
        names.iter().filter_map(of_name).collect()
    }

    /// How many rows of a table may be set aside; [`USUAL_LETTER_LIMIT`] where nothing is said.
    pub fn letter_limit(&self, table: &QualifiedName) -> u64 {
        let rule = most_specific(&self.letter_limits, |selector| selector.matches_table(table));
        rule.map_or(USUAL_LETTER_LIMIT, |rule| rule.says)
    }

    /// What becomes of rows that the target's table refuses.
    pub fn on_refused(&self, table: &QualifiedName) -> OnRefused {
        let rule = most_specific(&self.refused, |selector| selector.matches_table(table));
        rule.map_or(OnRefused::default(), |rule| rule.says)
    }

    /// The option that leaves a column out; `None` for one that is replicated.
    pub fn leaves_out(&self, table: &QualifiedName, column: &SourceColumn) -> Option<&'static str> {
        if self.columns(table).is_some_and(|columns| !columns.contains(&column.name)) {
            return Some("--columns");
        }
        let excluded = self.exclude_columns.iter().any(|rule| rule.selector.matches_column(table, column));
        excluded.then_some("--exclude-columns")
    }

    /// The rules that mean nothing of `tables`, nor a table of `others`, whose columns are not known: as they were
    /// written, and whether they name one thing, so that it is missed.
    pub fn unused(&self, tables: &[&SourceTable], others: &[&QualifiedName]) -> Vec<(String, bool)> {
        let means_something = |selector: &Selector| {
            others.iter().any(|name| selector.matches_table(name))
                || tables.iter().any(|table| {
                    (selector.is_table() && selector.matches_table(&table.name))
                        || table.columns.iter().any(|column| selector.matches_column(&table.name, column))
                })
        };
        fn all<'a, T>(
            option: &'static str,
            rules: &'a [Rule<T>],
        ) -> impl Iterator<Item = (&'static str, &'a Selector, &'a String)> {
            rules.iter().map(move |rule| (option, &rule.selector, &rule.text))
        }
        // The column of a constant is none of the source.
        let constants = all("--constant", &self.constants).filter(|(_, selector, _)| {
            !others.iter().any(|name| selector.matches_table(name))
                && !tables.iter().any(|table| selector.matches_table(&table.name))
        });
        all("--on-value", &self.values)
            .chain(all("--type", &self.types))
            .chain(all("--rename", &self.renames))
            .chain(all("--key", &self.keys))
            .chain(all("--append-only", &self.append_only))
            .chain(all("--mode", &self.modes))
            .chain(all("--on-schema-change", &self.changes))
            .chain(all("--columns", &self.columns))
            .chain(all("--exclude-columns", &self.exclude_columns))
            .chain(all("--where", &self.filters))
            .chain(all("--mask", &self.masks))
            .chain(all("--dead-letter-limit", &self.letter_limits))
            .chain(all("--on-refused", &self.refused))
            .filter(|(_, selector, _)| !means_something(selector))
            .chain(constants)
            .map(|(option, selector, text)| (format!("{option} '{text}'"), selector.is_literal()))
            .collect()
    }
}

/// The rule that counts among those that are about something.
fn most_specific<T>(rules: &[Rule<T>], matches: impl Fn(&Selector) -> bool) -> Option<&Rule<T>> {
    // Of several maxima, `max_by_key` returns the last one.
    rules.iter().filter(|rule| matches(&rule.selector)).max_by_key(|rule| rule.selector.specificity())
}

// === impl RuleError ===

impl Fault for RuleError {
    fn code(&self) -> &'static str {
        "RULE_INVALID"
    }

    fn disposition(&self) -> Disposition {
        Disposition::Halt
    }

    fn hint(&self) -> String {
        "examples: --on-value 'public.orders.total=text', --type 'public.orders.total=decimal(28,6)', --type 'timestamptz=datetime2(6)', \
         --rename 'public.orders=dbo.Orders2', --key 'public.log=log_id', --append-only public.log=ignore, \
         --mode 'public.orders=soft-delete', --on-schema-change 'public.orders:drop-column=apply', --columns 'public.orders=(id, total)', \
         --exclude-columns 'public.*.password', --where \"public.orders: region = 'EU'\", \
         --mask 'public.people.email=hash', --constant 'public.orders.region=eu-west', \
         --on-refused 'public.orders=set_aside', --dead-letter-limit 'public.orders=50'"
            .to_owned()
    }
}

#[cfg(test)]
mod tests;
