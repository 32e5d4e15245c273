//! [`Report`]: what a run of `segcdc up` says of itself.

/// What a run says of itself, line by line.
pub(crate) trait Report: Clone + Default + Send + 'static {
    /// Takes in one line of JSON; lines that say nothing new leave it as it is.
    fn absorb(&mut self, line: &str);

    /// One line for people; `None` before there is something to say.
    fn describe(&self) -> Option<String>;
}
