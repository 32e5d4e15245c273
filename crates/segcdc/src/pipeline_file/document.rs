//! YAML as nodes with places: the part of YAML that a pipeline file may use, within bounds.
//!
//! What a plain scalar is, a text, a number, a truth value, is not guessed from how it looks: a node holds what was written,
//! and the key that it belongs to says what it has to be. So `null`, `no`, `on` and `1.10` are four texts where texts are
//! asked for.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::error::FileError;
use super::place::Place;

/// Most nodes that a file may have, those that aliases stand for counted as often as they are used: a hundred times what a
/// pipeline of a thousand tables with rules needs, and some MiB.
const MAX_NODES: usize = 200_000;

/// How deep nodes may be nested. The deepest key has three levels.
const MAX_DEPTH: usize = 16;

/// A node with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A scalar as it was written, and whether without quotes.
    Scalar(String, bool),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Where it stands.
    pub(super) place: Place,
    /// The key.
    pub(super) name: String,
}

/// Reads a document. An empty one is an empty mapping.
///
/// # Errors
/// All keys that are there twice, or the first thing that is no such YAML.
pub(super) fn read(file: &str, text: &str) -> Result<Node, Vec<FileError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        twice: Vec::new(),
    };
    match reader.document() {
        Ok(node) if reader.twice.is_empty() => Ok(node),
        Ok(_) => Err(reader.twice),
        Err(error) => Err(vec![error]),
    }
}

/// What reads one document.
struct Reader<'a> {
    file: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    /// What has an anchor, and how many nodes it is.
    anchors: HashMap<usize, (Node, usize)>,
    /// Nodes so far.
    nodes: usize,
    /// Keys that are there twice.
    twice: Vec<FileError>,
}

impl<'a> Reader<'a> {
    /// The one document of the file.
    fn document(&mut self) -> Result<Node, FileError> {
        let mut node = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if node.is_some() => {
                    return Err(
                        self.syntax(span.start, "a pipeline file is one document, and here begins a second")
                    );
                }
                Event::DocumentStart(_) => {
                    let first = self.next()?;
                    node = Some(self.node(first, 0)?);
                }
                _ => return Err(self.syntax(span.start, "this is no YAML")),
            }
        }
        let start = Place { file: self.file.to_owned(), line: 1, column: 1 };
        let empty = Node { place: start, content: Content::Map(Vec::new()) };
        Ok(match node {
            Some(node) if node.content != Content::Scalar(String::new(), true) => node,
            Some(_) | None => empty,
        })
    }

    /// The node that begins with an event.
    fn node(&mut self, (event, span): (Event<'_>, Span), depth: usize) -> Result<Node, FileError> {
        if depth > MAX_DEPTH {
            let reason = format!("a pipeline file has at most {MAX_DEPTH} levels");
            return Err(self.syntax(span.start, &reason));
        }
        let before = self.nodes;
        self.count(1, span.start)?;
        let place = self.place(span.start);
        let (anchor, content) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, size) = known.ok_or_else(|| {
                    self.syntax(span.start, "this alias stands inside of what it stands for")
                })?;
                self.count(size, span.start)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.untagged(tag.is_some(), span.start)?;
                (anchor, Content::Scalar(text.into_owned(), style == ScalarStyle::Plain))
            }
            Event::SequenceStart(anchor, tag) => {
                self.untagged(tag.is_some(), span.start)?;
                (anchor, Content::List(self.list(depth)?))
            }
            Event::MappingStart(anchor, tag) => {
                self.untagged(tag.is_some(), span.start)?;
                (anchor, Content::Map(self.map(depth)?))
            }
            _ => return Err(self.syntax(span.start, "here a value is missing")),
        };
        let node = Node { place, content };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    /// The nodes of a sequence up to its end.
    fn list(&mut self, depth: usize) -> Result<Vec<Node>, FileError> {
        let mut nodes = Vec::new();
        loop {
            let next = self.next()?;
            if next.0 == Event::SequenceEnd {
                return Ok(nodes);
            }
            nodes.push(self.node(next, depth + 1)?);
        }
    }

    /// The entries of a mapping up to its end.
    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, FileError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let next = self.next()?;
            let start = next.1.start;
            if next.0 == Event::MappingEnd {
                return Ok(entries);
            }
            let Content::Scalar(name, _) = self.node(next, depth + 1)?.content else {
                return Err(self.syntax(start, "a key is a text"));
            };
            if name == "<<" {
                return Err(
                    self.syntax(start, "merge keys (<<) are not part of YAML 1.2, and not known here")
                );
            }
            let place = self.place(start);
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            match lines.get(&name) {
                Some(first) => {
                    self.twice.push(FileError::DuplicateKey { place, key: name, first: *first });
                }
                None => {
                    lines.insert(name.clone(), place.line);
                    entries.push((Key { place, name }, value));
                }
            }
        }
    }

    fn untagged(&self, tagged: bool, at: Marker) -> Result<(), FileError> {
        if tagged { Err(self.syntax(at, "tags (!) are not known here")) } else { Ok(()) }
    }

    fn count(&mut self, more: usize, at: Marker) -> Result<(), FileError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let reason = format!(
                "with what its aliases stand for, the file has more than {MAX_NODES} values, which no pipeline needs"
            );
            return Err(self.syntax(at, &reason));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), FileError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span)),
            Some(Err(error)) => Err(self.syntax(*error.marker(), error.info())),
            None => Err(self.syntax(Marker::default(), "it ends in the middle")),
        }
    }

    fn place(&self, at: Marker) -> Place {
        Place { file: self.file.to_owned(), line: at.line().max(1), column: at.col() + 1 }
    }

    fn syntax(&self, at: Marker, reason: &str) -> FileError {
        FileError::Syntax { place: self.place(at), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Fault;

    fn problem(text: &str) -> String {
        let problems = read("p.yaml", text).unwrap_err();
        problems.iter().map(|error| format!("{} {error}", error.code())).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn scalars_are_what_was_written() {
        let node = read("p.yaml", "a: [null, no, 1.10, 'on', \"x\", ~, ]\n").unwrap();
        let Content::Map(entries) = node.content else { unreachable!() };
        let Content::List(list) = &entries.first().unwrap().1.content else { unreachable!() };
        let texts: Vec<&str> = list
            .iter()
            .map(|node| match &node.content {
                Content::Scalar(text, _) => text.as_str(),
                _ => "?",
            })
            .collect();
        assert_eq!(texts, ["null", "no", "1.10", "on", "x", "~"]);
    }

    #[test]
    fn nothing_and_comments_are_an_empty_mapping() {
        for text in ["", "# nothing\n", "---\n", "{}"] {
            assert_eq!(read("p.yaml", text).unwrap().content, Content::Map(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_at_its_place() {
        for (text, expected) in [
            ("a:\n\t- b\n", "CONFIG_SYNTAX p.yaml:2:2: tabs"),
            ("a: [1", "CONFIG_SYNTAX p.yaml:"),
            ("a: 1\n---\nb: 2\n", "CONFIG_SYNTAX p.yaml:2:1: a pipeline file is one document"),
            ("a: !!str x\n", "CONFIG_SYNTAX p.yaml:1:4: tags"),
            ("a: &x 1\nb:\n  <<: *x\n", "CONFIG_SYNTAX p.yaml:3:3: merge keys"),
            ("[a]: b\n", "CONFIG_SYNTAX p.yaml:1:1: a key is a text"),
            ("a: *x\n", "CONFIG_SYNTAX p.yaml:1:4:"),
            ("a: &x [*x]\n", "CONFIG_SYNTAX p.yaml:1:8: this alias stands inside"),
            (
                "a: 1\nb: 2\na: 3\n",
                "CONFIG_DUPLICATE_KEY p.yaml:3:1: the key \"a\" is given a second time; first in line 1",
            ),
        ] {
            let found = problem(text);
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
        let twice = problem("a: 1\na: 2\nb: {c: 1, c: 2}\n");
        assert_eq!(twice.lines().count(), 2, "{twice}");
    }

    #[test]
    fn a_billion_laughs_are_an_error() {
        let mut text = "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..10 {
            let below = vec![format!("*l{}", level - 1); 10].join(", ");
            text.push_str(&format!("l{level}: &l{level} [{below}]\n"));
        }
        let begun = std::time::Instant::now();
        let found = problem(&text);
        assert!(found.contains("more than 200000 values"), "{found}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn nesting_is_bounded() {
        let text = format!("a: {}{}", "[".repeat(20_000), "]".repeat(20_000));
        let found = problem(&text);
        assert!(found.starts_with("CONFIG_SYNTAX"), "{found}");
    }

    proptest::proptest! {
        /// Whatever a file holds, reading it ends with nodes or errors.
        #[test]
        fn no_text_breaks_it(text in "[a-c:\\-\\[\\]{},#&*!|>'\"%@`?<~\\n\\t 0\u{feff}é]{0,60}") {
            let _either = read("p.yaml", &text);
        }
    }
}
