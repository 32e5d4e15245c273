//! [`nearest`]: which of the words that are known somebody may have meant.

/// The known word with the fewest changes to the given one, when these are few.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|word| (distance(given, word), word)).min()?;
    (near.0 <= 3).then_some(near.1)
}

/// Characters to insert, remove or replace to make one text the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().enumerate() {
        let mut before = index;
        let mut next = vec![index + 1];
        for (other, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = before + usize::from(*other != character);
            let beside = next.last().copied().unwrap_or(0);
            next.push(replaced.min(above + 1).min(beside + 1));
            before = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes() {
        let check = |left, right, expected| assert_eq!(distance(left, right), expected, "{left} {right}");
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("kitten", "sitting", 3);
    }

    #[test]
    fn only_what_is_near_was_meant() {
        let known = ["password", "port", "host"];
        assert_eq!(nearest("pasword", known), Some("password"));
        assert_eq!(nearest("something", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
