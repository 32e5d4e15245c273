//! docs/reference/pipeline-yaml.md, by the same table and the command line.

use std::fmt::Write;

use clap::Command;

use super::schema;
use super::settings::{Form, OTHERS, Rules, SETTINGS, Setting};

/// What stands above the keys.
const HEAD: &str = include_str!("page_head.md");

/// The page.
pub(super) fn page(command: &Command) -> String {
    let mut page = HEAD.trim_end().to_owned();
    page.push_str("\n\n## Example\nWith every key there is; most pipelines need five of them.\n\n```yaml\n");
    page.push_str(&example());
    page.push_str("```\n\n## Keys\n\n| key | what it takes | by default | the same as | meaning |\n|---|---|---|---|---|\n");
    for (path, _, meaning) in OTHERS {
        let takes = if path.ends_with("_file") {
            "a path"
        } else if path == "version" {
            "`1`"
        } else {
            "`${NAME}`"
        };
        row(&mut page, &[&format!("`{path}`"), takes, "", "", meaning]);
    }
    for setting in &SETTINGS {
        let Some(argument) = schema::argument(command, setting) else { continue };
        let words = schema::words(argument);
        let default = argument.get_default_values().first().map(|default| default.to_string_lossy());
        let default = default.map(|default| format!("`{default}`")).unwrap_or_default();
        let flag = argument.get_long().map(|long| format!("`--{long}`")).unwrap_or_default();
        let mut meaning = schema::help(argument);
        for (word, says) in words.iter().filter(|(_, says)| !says.is_empty()) {
            // Writing to a String cannot fail.
            let _infallible = write!(meaning, "<br>`{word}`: {says}");
        }
        let (key, takes) = (format!("`{}`", setting.path), takes(setting, &words));
        row(&mut page, &[&key, &takes, &default, &flag, &meaning]);
    }
    page
}

/// A file with every key. What excludes each other is there as a comment.
pub(super) fn example() -> String {
    let mut text = "# yaml-language-server: $schema=https://raw.githubusercontent.com/segcdc/segcdc/main/docs/reference/pipeline.schema.json\n"
        .to_owned();
    let all = all();
    let mut done: Vec<&str> = Vec::new();
    for (path, _) in &all {
        let (first, is_section) = path.split_once('.').map_or((*path, false), |(first, _)| (first, true));
        if done.contains(&first) {
            continue;
        }
        done.push(first);
        if is_section {
            text.push_str(&format!("{first}:\n"));
        }
        let prefix = format!("{first}.");
        let of_section = |path: &str| if is_section { path.starts_with(&prefix) } else { path == first };
        for (path, example) in all.iter().filter(|(path, _)| of_section(path)) {
            let key = path.rsplit('.').next().unwrap_or(path);
            let indent = if is_section { "  " } else { "" };
            // One of both.
            let comment = if path.ends_with("password_file") { "# " } else { "" };
            text.push_str(&format!("{indent}{comment}{key}: {example}\n"));
        }
    }
    text
}

/// Paths and examples of all keys, in the order of a file that people write: passwords behind their URLs.
fn all() -> Vec<(&'static str, &'static str)> {
    let others = |wanted: &'static str| {
        let is_wanted = move |path: &str| path.split_once('.').map_or(path, |(section, _)| section) == wanted;
        OTHERS.iter().filter(move |other| is_wanted(other.0)).map(|other| (other.0, other.1))
    };
    let mut all: Vec<(&str, &str)> = others("version").collect();
    for setting in &SETTINGS {
        all.push((setting.path, setting.example));
        if let Some(section) = setting.path.strip_suffix(".url") {
            all.extend(others(section));
        }
    }
    all
}

fn takes(setting: &Setting, words: &[(String, String)]) -> String {
    let text = match setting.form {
        Form::Text => "a text",
        Form::Choice => {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            return words.join(", ");
        }
        Form::Number(least, most) => return format!("{least} to {most}"),
        Form::Flag => "`true` or `false`",
        Form::Path => "a path",
        Form::Url => "a URL without password, `${NAME}`, or `'@FILE'` with a URL",
        Form::Secret => "`${NAME}`, or `'@FILE'`",
        Form::List => "a list",
        Form::Rules(Rules::Equals) => "`WHAT: SAYS`",
        Form::Rules(Rules::Constant) => "`COLUMN: VALUE` or `COLUMN:TYPE: VALUE`",
        Form::Rules(Rules::EqualsOrAll) => "`WHAT: POLICY`; `default: POLICY` for all",
        Form::Rules(Rules::CountOrAll) => "`TABLE: NUMBER`; `default: NUMBER` for all",
        Form::Rules(Rules::Condition) => "`TABLE: CONDITION`",
        Form::Rules(Rules::Columns) => "`TABLE: [COLUMN, COLUMN]`",
        Form::Rules(Rules::IndexOrColumns) => "`TABLE: INDEX` or `TABLE: [COLUMN, COLUMN]`",
        Form::Rules(Rules::Changes) => {
            "`KIND: POLICY`, `TABLE: POLICY`, `TABLE: {KIND: POLICY}`; `default: POLICY` for all"
        }
    };
    text.to_owned()
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('\n', " ").replace('|', "\\|")).collect();
    page.push_str(&format!("| {} |\n", cells.join(" | ")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::CommandFactory;
    use std::fs;

    /// Where generated pages are.
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/");

    /// Page and schema are what the program says. With `SEGCDC_WRITE_PAGES` set, they are written.
    #[test]
    fn pipeline_pages() {
        let mut command = Arguments::command();
        command.build();
        for (name, text) in [
            ("pipeline-yaml.md", page(&command)),
            ("pipeline.schema.json", format!("{:#}\n", schema::schema(&command))),
        ] {
            let path = format!("{FOLDER}{name}");
            if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == text,
                "docs/reference/{name} is not current; run `cargo xtask reference --write`"
            );
        }
    }
}
