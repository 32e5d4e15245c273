//! Rules as options of the command line, ready to be pasted into a shell: what hints offer.

use segcdc_model::{NamePattern, QualifiedName};

use super::{ChangeKind, ChangePolicy, OnChange};

/// `--rename 'public."#t"=t_2'`, with a schema where one is given.
pub fn rename_table(table: &QualifiedName, schema: Option<&str>, name: &str) -> String {
    let name = NamePattern::exactly(name);
    let says = match schema {
        Some(schema) => format!("{}.{name}", NamePattern::exactly(schema)),
        None => name.to_string(),
    };
    flag("--rename", &[&table.schema, &table.name], &says)
}

/// `--rename 'public.t."Id"=Id_2'`.
pub fn rename_column(table: &QualifiedName, column: &str, name: &str) -> String {
    flag("--rename", &[&table.schema, &table.name, column], &NamePattern::exactly(name).to_string())
}

/// A rule about one column, `--on-value 'public.t.c=text'`.
pub fn of_column(option: &str, table: &QualifiedName, column: &str, says: &str) -> String {
    flag(option, &[&table.schema, &table.name, column], says)
}

/// A rule about one table, `--dead-letter-limit 'public.t=50'`.
pub fn of_table(option: &str, table: &QualifiedName, says: &str) -> String {
    flag(option, &[&table.schema, &table.name], says)
}

/// `--append-only 'public.t=ignore'`.
pub fn append_only_ignoring(table: &QualifiedName) -> String {
    of_table("--append-only", table, OnChange::Ignore.word())
}

/// `--on-schema-change 'public.t:drop-column=apply'`.
pub fn on_schema_change(table: &QualifiedName, kind: ChangeKind, policy: ChangePolicy) -> String {
    let table = [&table.schema, &table.name].map(|name| NamePattern::exactly(name).to_string()).join(".");
    quoted("--on-schema-change", &format!("{table}:{kind}={policy}"))
}

/// An option about what these names mean.
fn flag(option: &str, names: &[&str], says: &str) -> String {
    let selector = names.iter().map(|name| NamePattern::exactly(name).to_string()).collect::<Vec<_>>();
    quoted(option, &format!("{}={says}", selector.join(".")))
}

/// An option with its argument between quotes for a shell, in which a quote ends what is quoted.
fn quoted(option: &str, rule: &str) -> String {
    format!("{option} '{}'", rule.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleTexts, Rules};
    use proptest::prelude::*;

    /// What a shell makes of the argument behind the option.
    fn unquoted(flag: &str) -> String {
        let argument = flag.split_once(' ').unwrap().1;
        argument.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap().replace("'\\''", "'")
    }

    fn rules(flag: &str) -> Rules {
        let texts = RuleTexts { renames: vec![unquoted(flag)], ..RuleTexts::default() };
        Rules::parse(&texts).unwrap()
    }

    #[test]
    fn flags_are_quoted_for_people() {
        let table = QualifiedName::new("public", "it's");
        assert_eq!(rename_column(&table, "Id", "Id_2"), "--rename 'public.it'\\''s.Id=Id_2'");
        assert_eq!(rename_table(&table, Some("a b"), "c"), "--rename 'public.it'\\''s=\"a b\".c'");
        assert_eq!(of_column("--type", &table, "n", "int"), "--type 'public.it'\\''s.n=int'");
    }

    proptest! {
        /// Names may hold anything, and the flag means exactly them.
        #[test]
        fn flags_are_read_as_what_they_say(
            schema in "[^\0]{1,8}", name in "[^\0]{1,8}", column in "[^\0]{1,8}", new in "[^\0]{1,8}",
        ) {
            let table = QualifiedName::new(schema.clone(), name);
            let source = segcdc_model::SourceColumn {
                name: column.clone(), attnum: 1, pg_type: segcdc_model::PgType::Text, type_name: "text".to_owned(),
                not_null: false, generated: false,
            };
            let found = rules(&rename_column(&table, &column, &new));
            prop_assert_eq!(found.column_name(&table, &source).map(|rule| rule.says.name.clone()), Some(new.clone()));
            let changes = vec![unquoted(&on_schema_change(&table, ChangeKind::DropColumn, ChangePolicy::Halt))];
            let found = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
            prop_assert_eq!(found.on_schema_change(&table, ChangeKind::DropColumn), ChangePolicy::Halt);
            let found = rules(&rename_table(&table, Some(&schema), &new));
            let says = found.table_name(&table).map(|rule| rule.says.clone()).unwrap();
            prop_assert_eq!((says.schema, says.name), (Some(schema), new));
        }
    }
}
