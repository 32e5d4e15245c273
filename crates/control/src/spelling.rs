//! [`nearest`]: which of the words that are known somebody may have meant.

/// The known word with the fewest changes of single characters to the given one, when these are few.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|word| (strsim::levenshtein(given, word), word)).min()?;
    (near.0 <= 3).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_was_meant() {
        let known = ["password", "port", "host"];
        assert_eq!(nearest("pasword", known), Some("password"));
        assert_eq!(nearest("something", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
