//! Reading rules, each from a text of its own.

use segcdc_model::NamePattern;
use segcdc_model::name_pattern::parse_dotted;

use super::{
    ChangeKind, ChangePolicy, ChangeRule, Constant, KeyChoice, LeaveOut, MOST_LETTER_LIMIT, Mask, NewName,
    OnChange, OnRefused, PickUp, RowFilter, Rule, RuleError, Selector, TargetMode, ValuePolicy,
};
use crate::target_type::{self, TargetType};

/// `POLICY` or `SELECTOR=POLICY`.
pub(super) fn value_rule(text: &str) -> Result<Rule<ValuePolicy>, RuleError> {
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
pub(super) fn type_rule(text: &str) -> Result<Rule<TargetType>, RuleError> {
    let bad = |reason| rule_error("--type", text, reason);
    let (selector, says) = split(text).ok_or_else(|| bad("it has no target type behind an equals sign"))?;
    let selector = Selector::parse(selector).ok_or_else(|| bad(BAD_SELECTOR))?;
    let says = target_type::parse(says).map_err(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE=NAME`, `TABLE=SCHEMA.NAME` or `COLUMN=NAME`.
pub(super) fn rename_rule(text: &str) -> Result<Rule<NewName>, RuleError> {
    let bad = |reason| rule_error("--rename", text, reason);
    let (selector, name) = split(text).ok_or_else(|| bad("it has no new name behind an equals sign"))?;
    let selector = Selector::parse(selector).ok_or_else(|| bad(BAD_SELECTOR))?;
    let names = parse_dotted(name).ok_or_else(|| bad("the new name cannot be read"))?;
    let names: Option<Vec<String>> = names.iter().map(NamePattern::literal).collect();
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
pub(super) fn key_rule(text: &str) -> Result<Rule<KeyChoice>, RuleError> {
    let bad = |reason| rule_error("--key", text, reason);
    let (selector, wanted) = split(text).ok_or_else(|| bad("it has no index behind an equals sign"))?;
    let selector = one_table(selector)
        .ok_or_else(|| bad("in front of the equals sign stands one table, as schema.table"))?;
    let says = match in_parentheses(wanted) {
        Some(columns) => names(columns).map(KeyChoice::Columns),
        None => name(wanted).map(KeyChoice::Index),
    };
    let says = says.ok_or_else(|| {
        bad("behind the equals sign stands the name of an index, or columns in parentheses: (a, b)")
    })?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE` or `TABLE=POLICY`.
pub(super) fn append_rule(text: &str) -> Result<Rule<OnChange>, RuleError> {
    let bad = |reason| rule_error("--append-only", text, reason);
    let (selector, says) = match split(text) {
        Some((selector, word)) => (selector, OnChange::from_word(word)),
        None => (text.trim(), Some(OnChange::default())),
    };
    let selector = one_table(selector).ok_or_else(|| bad("it is about one table, as schema.table"))?;
    let says = says.ok_or_else(|| bad("the policies are halt and ignore"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `MODE` or `TABLE=MODE`.
pub(super) fn mode_rule(text: &str) -> Result<Rule<TargetMode>, RuleError> {
    let bad = |reason| rule_error("--mode", text, reason);
    let (selector, word) = for_tables(text).map_err(bad)?;
    let says = TargetMode::from_word(word).ok_or_else(|| bad("the modes are mirror and soft-delete"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE=(COLUMN, ..)`.
pub(super) fn columns_rule(text: &str) -> Result<Rule<Vec<String>>, RuleError> {
    let bad = |reason| rule_error("--columns", text, reason);
    let (selector, columns) = split(text).ok_or_else(|| bad("it has no columns behind an equals sign"))?;
    let selector = one_table(selector)
        .ok_or_else(|| bad("in front of the equals sign stands one table, as schema.table"))?;
    let says = in_parentheses(columns).and_then(names);
    let says =
        says.ok_or_else(|| bad("behind the equals sign stand names of columns in parentheses: (a, b)"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `COLUMN`.
pub(super) fn exclude_rule(text: &str) -> Result<Rule<LeaveOut>, RuleError> {
    let bad = |reason| rule_error("--exclude-columns", text, reason);
    let selector = Selector::parse(text.trim()).filter(Selector::is_column);
    let selector =
        selector.ok_or_else(|| bad("it is about columns, as schema.table.column; * and ? are wildcards"))?;
    Ok(Rule { selector, says: LeaveOut, text: text.to_owned() })
}

/// `TABLES`, or `!TABLES` for those that are not taken in.
pub(super) fn pick_up_rule(text: &str) -> Result<Rule<PickUp>, RuleError> {
    let bad = || {
        rule_error("--pick-up-new-tables", text, "it is about tables, as schema.table; * and ? are wildcards")
    };
    let (tables, says) = match text.trim().strip_prefix('!') {
        Some(tables) => (tables, PickUp::Out),
        None => (text, PickUp::In),
    };
    let selector = Selector::parse(tables.trim()).filter(Selector::is_table).ok_or_else(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `COLUMN=MASK`.
pub(super) fn mask_rule(text: &str) -> Result<Rule<Mask>, RuleError> {
    let bad = |reason| rule_error("--mask", text, reason);
    let (selector, says) = split(text).ok_or_else(|| bad("it has no mask behind an equals sign"))?;
    let selector = Selector::parse(selector).filter(Selector::is_column);
    let selector = selector.ok_or_else(|| {
        bad("in front of the equals sign stand columns, as schema.table.column; * and ? are wildcards")
    })?;
    let says = Mask::parse(says).map_err(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `COLUMN=VALUE` or `COLUMN:TYPE=VALUE`.
pub(super) fn constant_rule(text: &str) -> Result<Rule<Constant>, RuleError> {
    let bad = |reason| rule_error("--constant", text, reason);
    let (column, value) = split(text).ok_or_else(|| bad("it has no value behind an equals sign"))?;
    let (column, wanted) =
        split_at(column, ':').map_or((column, None), |(column, wanted)| (column, Some(wanted)));
    let selector = Selector::parse(column).filter(Selector::is_column);
    let name = match &selector {
        Some(Selector::Column { column, .. }) => column.literal(),
        _ => None,
    };
    let (selector, name) = selector.zip(name).ok_or_else(|| {
        bad("in front of it stands schema.table.column, of which only schema and table may have wildcards")
    })?;
    let says = Constant::new(name, wanted, value).map_err(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `N` or `TABLE=N`.
pub(super) fn limit_rule(text: &str) -> Result<Rule<u64>, RuleError> {
    let bad = |reason| rule_error("--dead-letter-limit", text, reason);
    let (selector, says) = for_tables(text).map_err(bad)?;
    let digits = !says.is_empty() && says.bytes().all(|byte| byte.is_ascii_digit());
    let says = Some(says).filter(|_| digits).and_then(|says| says.parse().ok());
    let says = says.filter(|limit| *limit <= MOST_LETTER_LIMIT);
    let says = says.ok_or_else(|| bad("the limit is a whole number from 0 to 10000"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `TABLE:CONDITION`.
pub(super) fn filter_rule(text: &str) -> Result<Rule<RowFilter>, RuleError> {
    let bad = |reason| rule_error("--where", text, reason);
    let (selector, condition) =
        split_at(text, ':').ok_or_else(|| bad("it has no condition behind a colon"))?;
    let selector =
        one_table(selector).ok_or_else(|| bad("in front of the colon stands one table, as schema.table"))?;
    let says = RowFilter::parse(condition).map_err(bad)?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// `POLICY`, `KIND=POLICY`, or one of both behind `TABLE:`.
pub(super) fn change_rule(text: &str) -> Result<Rule<ChangeRule>, RuleError> {
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

/// `POLICY` or `TABLE=POLICY`.
pub(super) fn refused_rule(text: &str) -> Result<Rule<OnRefused>, RuleError> {
    let bad = |reason| rule_error("--on-refused", text, reason);
    let (selector, word) = for_tables(text).map_err(bad)?;
    let says = OnRefused::from_word(word).ok_or_else(|| bad("the policies are halt and set_aside"))?;
    Ok(Rule { selector, says, text: text.to_owned() })
}

/// What is said of all tables, or behind an equals sign of those of a pattern.
fn for_tables(text: &str) -> Result<(Selector, &str), &'static str> {
    let Some((selector, says)) = split(text) else { return Ok((Selector::Everything, text.trim())) };
    let selector = Selector::parse(selector).filter(Selector::is_table);
    let selector =
        selector.ok_or("in front of the equals sign stands schema.table; * and ? are wildcards")?;
    Ok((selector, says))
}

/// One table without wildcards.
fn one_table(text: &str) -> Option<Selector> {
    Selector::parse(text).filter(|selector| selector.is_table() && selector.is_literal())
}

/// What stands between parentheses around all of a text.
fn in_parentheses(text: &str) -> Option<&str> {
    text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
}

/// Names between commas, without wildcards.
fn names(text: &str) -> Option<Vec<String>> {
    split_commas(text).into_iter().map(name).collect()
}

/// One name, without wildcards.
fn name(text: &str) -> Option<String> {
    let names = parse_dotted(text.trim())?;
    let [name] = names.as_slice() else { return None };
    name.literal()
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
