//! `segcdc export`

use segcdc_engine_native::{EngineKind, StoredSettings, stored_settings};
use segcdc_model::{NamePattern, QualifiedName};
use segcdc_plan::RuleTexts;

use crate::arguments::{ExportArguments, Given, Output};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::pipeline_file::{Written, write};

/// Prints a pipeline file: what is said by options, variables and a file, and besides what the target's state knows.
///
/// # Errors
/// When the target cannot be asked, or its state not be read.
pub(crate) async fn run(arguments: ExportArguments, console: Console) -> Result<Exit, CliError> {
    let (_, config) = commands::setup(&arguments.setup, console)?;
    let stored = stored_settings(&config).await?;
    if stored.is_none() {
        console
            .talk(&format!("the target knows no pipeline \"{}\"; the file says what is given", config.name));
    }
    let Written { yaml, variables } = write(&merged(&config.name, arguments.given, stored));
    if !variables.is_empty() {
        console.talk(&format!("the file holds no secret; set {} before it is used", variables.join(", ")));
    }
    match console.output {
        Output::Json => console.json(&serde_json::json!({ "file": yaml, "variables": variables })),
        Output::Table | Output::Wide | Output::Name => console.data(yaml.trim_end()),
    }
    Ok(Exit::Ok)
}

/// What is given, and what is stored where nothing is given. Each kind of rules counts as a whole, as it does for `up`.
fn merged(name: &str, mut said: Vec<Given>, stored: Option<StoredSettings>) -> Vec<Given> {
    let mut add = |path: &'static str, values: Vec<String>| {
        if !said.iter().any(|known| known.path == path) {
            said.push(Given { path, values });
        }
    };
    add("name", vec![name.to_owned()]);
    let Some(StoredSettings { engine, tables, rules }) = stored else { return said };
    if engine != EngineKind::Native {
        add("engine", vec![engine.as_str().to_owned()]);
    }
    let RuleTexts {
        refused,
        letter_limits,
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
        pick_up,
    } = rules;
    let (out, include): (Vec<String>, Vec<String>) =
        pick_up.into_iter().partition(|pattern| pattern.starts_with('!'));
    if include.is_empty() {
        add("tables.include", tables.iter().map(pattern).collect());
    } else {
        let exclude = out.iter().filter_map(|pattern| pattern.strip_prefix('!')).map(str::to_owned).collect();
        add("tables.include", include);
        add("tables.exclude", exclude);
        add("tables.pick_up_new", vec!["true".to_owned()]);
    }
    for (path, rules) in [
        ("on_value", values),
        ("types", types),
        ("rename", renames),
        ("keys", keys),
        ("append_only", append_only),
        ("modes", modes),
        ("on_refused", refused),
        ("dead_letter_limit", letter_limits),
        ("on_schema_change", changes),
        ("columns.include", columns),
        ("columns.exclude", exclude_columns),
        ("where", filters),
        ("masks", masks),
        ("constants", constants),
    ] {
        add(path, rules);
    }
    said
}

/// The pattern that means this table and no other.
fn pattern(table: &QualifiedName) -> String {
    [&table.schema, &table.name].map(|name| NamePattern::exactly(name).to_string()).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(path: &'static str, values: &[&str]) -> Given {
        Given { path, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn stored() -> StoredSettings {
        StoredSettings {
            engine: EngineKind::Native,
            tables: vec![QualifiedName::new("public", "Or der"), QualifiedName::new("public", "item")],
            rules: RuleTexts {
                values: vec!["public.item.total=null".to_owned()],
                renames: vec!["public.item=dbo.Item".to_owned()],
                ..RuleTexts::default()
            },
        }
    }

    #[test]
    fn what_is_given_counts_and_the_state_says_the_rest() {
        let said = merged(
            "shop",
            vec![given("on_value", &["halt", "public.item=text"]), given("where", &["a.b: c IN (1, 2)"])],
            Some(stored()),
        );
        let of =
            |path: &str| said.iter().find(|given| given.path == path).map(|given| given.values.join(" | "));
        assert_eq!(of("on_value").as_deref(), Some("halt | public.item=text"));
        assert_eq!(of("where").as_deref(), Some("a.b: c IN (1, 2)"));
        assert_eq!(of("rename").as_deref(), Some("public.item=dbo.Item"));
        assert_eq!(of("tables.include").as_deref(), Some("public.\"Or der\" | public.item"));
        assert_eq!(of("name").as_deref(), Some("shop"));
        assert_eq!(of("engine"), None);
    }

    #[test]
    fn tables_that_are_taken_in_are_said_by_their_patterns() {
        let mut stored = stored();
        stored.rules.pick_up = vec!["public.*".to_owned(), "!public.log_*".to_owned()];
        let said = merged("shop", Vec::new(), Some(stored));
        let of =
            |path: &str| said.iter().find(|given| given.path == path).map(|given| given.values.join(" | "));
        assert_eq!(of("tables.include").as_deref(), Some("public.*"));
        assert_eq!(of("tables.exclude").as_deref(), Some("public.log_*"));
        assert_eq!(of("tables.pick_up_new").as_deref(), Some("true"));
    }

    #[test]
    fn a_pipeline_that_is_not_there_is_what_is_given() {
        let said = merged("shop", vec![given("name", &["other"])], None);
        assert_eq!(said, [given("name", &["other"])]);
    }
}
