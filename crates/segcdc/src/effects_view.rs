//! What changed settings do to a pipeline that exists, for people: the effect, and the command that brings it about.

use segcdc_engine_native::{Effect, EffectKind};
use segcdc_model::{NamePattern, QualifiedName};

use crate::paint::Paint;
use crate::text;

/// Tables that are named in words; the command names all.
const MAX_NAMED: usize = 5;

/// One line for each effect and one for its command; empty without effects. `file` is the pipeline file, if one was given.
pub(crate) fn lines(effects: &[Effect], file: Option<&str>, paint: Paint) -> String {
    if effects.is_empty() {
        return String::new();
    }
    let mut lines = vec![paint.bold("Changes of the pipeline that exists:")];
    for effect in effects {
        let tables = named(&effect.tables);
        let what = match effect.effect {
            EffectKind::Restart => "counts from the next `segcdc up` on; nothing is copied".to_owned(),
            EffectKind::Recopy => format!("needs a new copy of {tables}, and `up` refuses it until then"),
            EffectKind::Add => format!("adds {tables}, which is copied while the others go on"),
            EffectKind::Remove => format!("leaves out {tables}, whose target tables stay"),
            EffectKind::Nothing => "does nothing: it counts when a pipeline is made".to_owned(),
        };
        lines.push(format!("  {}: {what}", effect.setting));
        if let Some(command) = command(effect, file) {
            lines.push(format!("    {}", paint.dim(&command)));
        }
    }
    lines.join("\n")
}

/// The command that brings an effect about, where `up` does not.
fn command(effect: &Effect, file: Option<&str>) -> Option<String> {
    let verb = match effect.effect {
        EffectKind::Recopy => "resync",
        EffectKind::Add => "add",
        EffectKind::Remove => "remove",
        EffectKind::Restart | EffectKind::Nothing => return None,
    };
    let file = file.map(|file| format!(" -f {}", quoted(file))).unwrap_or_default();
    let tables: Vec<String> = effect.tables.iter().map(pattern).collect();
    Some(format!("segcdc table {verb}{file} --tables {}", quoted(&tables.join(","))))
}

/// The pattern that means one table.
fn pattern(table: &QualifiedName) -> String {
    [&table.schema, &table.name].map(|name| NamePattern::exactly(name).to_string()).join(".")
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ',' | '/' | '-');
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Some tables by name, and how many others there are.
fn named(tables: &[QualifiedName]) -> String {
    let names: Vec<String> = tables.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    match tables.len().saturating_sub(MAX_NAMED) {
        0 => names.join(", "),
        more => format!("{} and {}", names.join(", "), text::plural(more, "other table")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_effect_names_what_to_do() {
        let effect = |setting, effect, tables: &[&str]| Effect {
            setting,
            effect,
            tables: tables.iter().map(|table| QualifiedName::new("public", *table)).collect(),
        };
        let effects = [
            effect("tables.include", EffectKind::Add, &["new"]),
            effect("tables.exclude", EffectKind::Remove, &["a", "b", "c", "d", "e", "f"]),
            effect("types", EffectKind::Recopy, &["orders", "it's"]),
            effect("on_value", EffectKind::Restart, &[]),
            effect("source.slot", EffectKind::Nothing, &[]),
        ];
        insta::assert_snapshot!("effects", lines(&effects, Some("my pipeline.yaml"), Paint::Plain));
        assert_eq!(lines(&[], None, Paint::Plain), "");
    }
}
