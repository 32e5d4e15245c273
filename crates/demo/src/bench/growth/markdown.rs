//! [`table`]: a table of Markdown; [`cell`]: what was measured, in one of its cells.

use crate::spread::{Spread, number};

/// A table whose first column is a text, and whose others are numbers.
pub(super) fn table(head: &[&str], lines: impl IntoIterator<Item = Vec<String>>) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rule: String = "---:|".repeat(head.len());
    let mut text = format!("{}|{rule}\n", row(&head));
    lines.into_iter().for_each(|line| text.push_str(&row(&line)));
    text
}

/// The median, with the ends when there are several values; a dash for none.
pub(super) fn cell(values: &[f64]) -> String {
    match values {
        [] => "–".to_owned(),
        [only] => number(*only),
        _ => Spread::of(values).map(Spread::show).unwrap_or_default(),
    }
}

/// The last of several values, as a number.
pub(super) fn last(values: &[f64]) -> String {
    values.last().map_or_else(|| "–".to_owned(), |value| number(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_no_ends_and_none_is_a_dash() {
        assert_eq!([cell(&[]), cell(&[2.0]), cell(&[2.0, 4.0, 3.0])], ["–", "2.0", "3.0 (2.0–4.0)"]);
        let text = table(&["n", "rows/s"], [vec!["1".to_owned(), "2.0".to_owned()]]);
        assert_eq!(text, "| n | rows/s |\n|---:|---:|\n| 1 | 2.0 |\n");
    }
}
