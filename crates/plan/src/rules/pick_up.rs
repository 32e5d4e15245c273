//! [`PickUp`]: which tables a pipeline takes in by itself when they are made.

/// Whether new tables are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickUp {
    /// They are.
    In,
    /// They are not, though another rule takes them in.
    Out,
}

/// The text that takes in nothing.
pub const NONE: &str = "!*.*";

/// The rules of patterns: tables that match one of `include`, all where there is none, and none of `exclude`.
pub fn texts(include: &[String], exclude: &[String]) -> Vec<String> {
    let all = ["*.*".to_owned()];
    let include = if include.is_empty() { &all[..] } else { include };
    let out = exclude.iter().map(|pattern| format!("!{pattern}"));
    include.iter().cloned().chain(out).collect()
}
