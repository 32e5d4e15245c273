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
//! --on-schema-change halt                   --on-schema-change 'public.*:drop-column=apply'
//! ```
//!
//! The most specific rule counts: a column's before a table's, a table's before a type's, a type's before one for
//! everything; among these, one without wildcards before one with; among equals the later one.
//!
//! Rules are kept as they were written ([`Rules::texts`]), which is also how the target's state stores them.

mod append_only;
mod change_policy;
mod flag;
mod selector;
mod value_policy;

use segcdc_model::name_pattern::parse_dotted;
use segcdc_model::{Disposition, Fault, QualifiedName, SourceColumn, SourceTable};

use crate::target_type::{self, TargetType};

pub use append_only::OnChange;
pub use change_policy::{ChangeKind, ChangePolicy, ChangeRule};
pub use flag::{append_only_ignoring, of_column, on_schema_change, rename_column, rename_table};
pub use selector::Selector;
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
    /// What becomes of changes of source tables.
    pub changes: Vec<Rule<ChangeRule>>,
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

/// A name in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName {
    /// The schema of a table; `None` keeps it, and for a column.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

/// Rules as they were written, by kind; what is stored and read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleTexts {
    /// Of [`Rules::values`].
    pub values: Vec<String>,
    /// Of [`Rules::types`].
    pub types: Vec<String>,
    /// Of [`Rules::renames`].
    pub renames: Vec<String>,
    /// Of [`Rules::keys`].
    pub keys: Vec<String>,
    /// Of [`Rules::append_only`].
    pub append_only: Vec<String>,
    /// Of [`Rules::changes`].
    pub changes: Vec<String>,
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
        Ok(Rules {
            values: texts.values.iter().map(|text| value_rule(text)).collect::<Result<_, _>>()?,
            types: texts.types.iter().map(|text| type_rule(text)).collect::<Result<_, _>>()?,
            renames: texts.renames.iter().map(|text| rename_rule(text)).collect::<Result<_, _>>()?,
            keys: texts.keys.iter().map(|text| key_rule(text)).collect::<Result<_, _>>()?,
            append_only: texts.append_only.iter().map(|text| append_rule(text)).collect::<Result<_, _>>()?,
            changes: texts.changes.iter().map(|text| change_rule(text)).collect::<Result<_, _>>()?,
        })
    }

    /// The rules as they were written.
    pub fn texts(&self) -> RuleTexts {
        RuleTexts {
            values: self.values.iter().map(|rule| rule.text.clone()).collect(),
            types: self.types.iter().map(|rule| rule.text.clone()).collect(),
            renames: self.renames.iter().map(|rule| rule.text.clone()).collect(),
            keys: self.keys.iter().map(|rule| rule.text.clone()).collect(),
            append_only: self.append_only.iter().map(|rule| rule.text.clone()).collect(),
            changes: self.changes.iter().map(|rule| rule.text.clone()).collect(),
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
            changes: either(&self.changes, &stored.changes),
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

    /// What becomes of a kind of change of a table: by the most specific rule about it, among these by one for the kind.
    pub fn on_schema_change(&self, table: &QualifiedName, kind: ChangeKind) -> ChangePolicy {
        let about = |rule: &&Rule<ChangeRule>| {
            rule.selector.matches_table(table) && rule.says.kind.is_none_or(|about| about == kind)
        };
        let specificity = |rule: &&Rule<ChangeRule>| (rule.selector.specificity(), rule.says.kind.is_some());
        let rule = self.changes.iter().filter(about).max_by_key(specificity);
        rule.map_or_else(|| kind.usual(), |rule| rule.says.policy)
    }

    /// The name that is wished for a column.
    pub fn column_name(&self, table: &QualifiedName, column: &SourceColumn) -> Option<&Rule<NewName>> {
        most_specific(&self.renames, |selector| {
            selector.is_column() && selector.matches_column(table, column)
        })
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
        let values = self.values.iter().map(|rule| ("--on-value", &rule.selector, &rule.text));
        let types = self.types.iter().map(|rule| ("--type", &rule.selector, &rule.text));
        let renames = self.renames.iter().map(|rule| ("--rename", &rule.selector, &rule.text));
        let keys = self.keys.iter().map(|rule| ("--key", &rule.selector, &rule.text));
        let append_only = self.append_only.iter().map(|rule| ("--append-only", &rule.selector, &rule.text));
        let changes = self.changes.iter().map(|rule| ("--on-schema-change", &rule.selector, &rule.text));
        values
            .chain(types)
            .chain(renames)
            .chain(keys)
            .chain(append_only)
            .chain(changes)
            .filter(|(_, selector, _)| !means_something(selector))
            .map(|(option, selector, text)| (format!("{option} '{text}'"), selector.is_literal()))
            .collect()
    }
}

/// The rule that counts among those that are about something.
fn most_specific<T>(rules: &[Rule<T>], matches: impl Fn(&Selector) -> bool) -> Option<&Rule<T>> {
    // Of several maxima, `max_by_key` returns the last one.
    rules.iter().filter(|rule| matches(&rule.selector)).max_by_key(|rule| rule.selector.specificity())
}

/// `POLICY` or `SELECTOR=POLICY`.
fn value_rule(text: &str) -> Result<Rule<ValuePolicy>, RuleError> {
    let bad = |reason| rule_error("--on-value", text, reason);
    let (selector, word) = match split(text) {
        Some((selector, word)) => (Selector::parse(selector).ok_or_else(|| bad(BAD_SELECTOR))?, word),
        None => (Selector::Everything, text.trim()),
    };
    let says = ValuePolicy::from_word(word)
        .ok_or_else(|| bad("the policies are halt, text, null, clamp and set_aside"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `SELECTOR=TYPE`.
fn type_rule(text: &str) -> Result<Rule<TargetType>, RuleError> {
    let bad = |reason| rule_error("--type", text, reason);
    let (selector, says) = split(text).ok_or_else(|| bad("it has no target type behind an equals sign"))?;
    let selector = Selector::parse(selector).ok_or_else(|| bad(BAD_SELECTOR))?;
    let says = target_type::parse(says).map_err(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE=NAME`, `TABLE=SCHEMA.NAME` or `COLUMN=NAME`.
fn rename_rule(text: &str) -> Result<Rule<NewName>, RuleError> {
    let bad = |reason| rule_error("--rename", text, reason);
    let (selector, name) = split(text).ok_or_else(|| bad("it has no new name behind an equals sign"))?;
    let selector = Selector::parse(selector).ok_or_else(|| bad(BAD_SELECTOR))?;
    let names = parse_dotted(name).ok_or_else(|| bad("the new name cannot be read"))?;
    let names: Option<Vec<String>> = names.iter().map(segcdc_model::NamePattern::literal).collect();
    let names = names.ok_or_else(|| bad("a new name has no wildcards"))?;
    let says = match (names.as_slice(), &selector) {
        ([name], Selector::Table { .. } | Selector::Column { .. }) => {
            NewName { schema: None, name: name.clone() }
        }
        ([schema, name], Selector::Table { .. }) => {
            NewName { schema: Some(schema.clone()), name: name.clone() }
        }
        (_, Selector::Everything | Selector::Type(_)) => {
            return Err(bad("only a table (schema.table) or a column (schema.table.column) has a name"));
        }
        _ => return Err(bad("the new name has too many parts")),
    };
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE=INDEX` or `TABLE=(COLUMN, ..)`.
fn key_rule(text: &str) -> Result<Rule<KeyChoice>, RuleError> {
    let bad = |reason| rule_error("--key", text, reason);
    let (selector, wanted) = split(text).ok_or_else(|| bad("it has no index behind an equals sign"))?;
    let selector = one_table(selector)
        .ok_or_else(|| bad("in front of the equals sign stands one table, as schema.table"))?;
    let name = |text: &str| {
        let names = parse_dotted(text.trim())?;
        let [name] = names.as_slice() else { return None };
        name.literal()
    };
    let says = match wanted.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(columns) => {
            split_commas(columns).into_iter().map(name).collect::<Option<_>>().map(KeyChoice::Columns)
        }
        None => name(wanted).map(KeyChoice::Index),
    };
    let says = says.ok_or_else(|| {
        bad("behind the equals sign stands the name of an index, or columns in parentheses: (a, b)")
    })?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE` or `TABLE=POLICY`.
fn append_rule(text: &str) -> Result<Rule<OnChange>, RuleError> {
    let bad = |reason| rule_error("--append-only", text, reason);
    let (selector, says) = match split(text) {
        Some((selector, word)) => (selector, OnChange::from_word(word)),
        None => (text.trim(), Some(OnChange::default())),
    };
    let selector = one_table(selector).ok_or_else(|| bad("it is about one table, as schema.table"))?;
    let says = says.ok_or_else(|| bad("the policies are halt and ignore"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `POLICY`, `KIND=POLICY`, or one of both behind `TABLE:`.
fn change_rule(text: &str) -> Result<Rule<ChangeRule>, RuleError> {
    let bad = |reason| rule_error("--on-schema-change", text, reason);
    let (selector, says) = match split_at(text, ':') {
        Some((selector, says)) => {
            let selector = Selector::parse(selector).filter(Selector::is_table);
            (
                selector
                    .ok_or_else(|| bad("in front of the colon stands schema.table; * and ? are wildcards"))?,
                says,
            )
        }
        None => (Selector::Everything, text.trim()),
    };
    let (kind, policy) = match split(says) {
        Some((kind, policy)) => (Some(ChangeKind::from_word(kind).ok_or_else(|| bad(BAD_KIND))?), policy),
        None => (None, says),
    };
    let policy = ChangePolicy::from_word(policy)
        .ok_or_else(|| bad("the policies are apply, ignore, halt (the table) and halt-all"))?;
    Ok(Rule { selector, says: ChangeRule { kind, policy }, text: text.to_owned() })
}

/// What is wrong with a kind of change.
const BAD_KIND: &str = "the kinds are add-column, drop-column, rename-column, change-type, rewrite-column, set-not-null, drop-not-null, \
     rename-table and set-schema";

/// One table without wildcards.
fn one_table(text: &str) -> Option<Selector> {
    Selector::parse(text).filter(|selector| selector.is_table() && selector.is_literal())
}

/// The parts between commas outside of quotes.
fn split_commas(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .collect()
}

/// What is wrong with what stands in front of the equals sign.
const BAD_SELECTOR: &str = "in front of the equals sign stands schema.table, schema.table.column or a type; * and ? are wildcards, and names \
     with other characters stand in double quotes";

/// What stands in front of and behind the first equals sign outside of quotes, without blanks around it.
fn split(text: &str) -> Option<(&str, &str)> {
    split_at(text, '=')
}

/// The same for another sign of one byte.
fn split_at(text: &str, sign: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            character if character == sign && !quoted => {
                let (selector, behind) = text.split_at_checked(at)?;
                return Some((selector.trim(), behind.get(1..)?.trim()));
            }
            _ => {}
        }
    }
    None
}

fn rule_error(option: &'static str, text: &str, reason: &'static str) -> RuleError {
    RuleError { option, text: text.chars().filter(|c| !c.is_control()).take(200).collect(), reason }
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
         --on-schema-change 'public.orders:drop-column=apply'"
            .to_owned()
    }
}

#[cfg(test)]
mod tests;
