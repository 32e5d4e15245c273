//! Text, bytes, documents, bits.

use proptest::prelude::*;

use super::{Entry, hex, literal, quoted};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("text, citext", "text", |_| prop_oneof![9 => text(0..200), 1 => repeated(9000)].boxed()),
    Entry::new("text, citext", "citext", |_| text(0..40)).needs("extension citext"),
    Entry::new("varchar(40)", "varchar(40)", |_| text(0..41)),
    Entry::new("varchar(3000)", "varchar(3000)", |_| prop_oneof![text(0..60), repeated(3000)].boxed()),
    Entry::new("varchar", "varchar", |_| text(0..60)),
    Entry::new("char(5)", "char(5)", |_| text(0..6)),
    Entry::new("bpchar", "bpchar", |_| text(0..20)),
    Entry::new("name", "name", |_| text(0..16)),
    Entry::new("enums", "matrix.mood", |_| mood()),
    Entry::new("bytea", "bytea", |_| bytes()),
    Entry::new("uuid", "uuid", |_| uuid()),
    Entry::new("json", "json", |_| json().prop_map(literal).boxed()),
    Entry::new("jsonb", "jsonb", |_| json().prop_map(literal).boxed()),
    Entry::new("xml", "xml", |_| xml()).needs("needs xml"),
    Entry::new("bit(n), varbit", "bit(10)", |_| "[01]{10}".prop_map(|bits| format!("B'{bits}'")).boxed()),
    Entry::new("bit(n), varbit", "varbit", |_| "[01]{0,80}".prop_map(|bits| format!("B'{bits}'")).boxed()),
];

/// Any character but NUL, which PostgreSQL's text has not; what has a meaning somewhere more often.
pub(super) fn character() -> impl Strategy<Value = char> + Clone {
    prop_oneof![
        4 => any::<char>().prop_filter("PostgreSQL has no NUL", |character| *character != '\0'),
        3 => proptest::char::range(' ', '~'),
        1 => proptest::sample::select(&['\'', '"', '\\', '\t', '\n', '\r', ' ', '{', '}', ',', '\u{301}', '\u{1f980}'][..]),
    ]
}

/// Text of every plane, with what has a meaning somewhere: quotes, backslashes, tabs, blanks at the end.
pub(super) fn text(length: std::ops::Range<usize>) -> BoxedStrategy<String> {
    proptest::collection::vec(character(), length)
        .prop_map(|text| literal(text.into_iter().collect::<String>()))
        .boxed()
}

/// Long text: some characters again and again, up to so many in all.
fn repeated(most: usize) -> BoxedStrategy<String> {
    (text(1..8), 0..=most / 8).prop_map(|(text, times)| format!("repeat({text}, {times})")).boxed()
}

/// A label of the enum.
pub(super) fn mood() -> BoxedStrategy<String> {
    let labels =
        ["sad", "it's ok ", "glücklich", "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll"];
    proptest::sample::select(labels.map(literal).to_vec()).boxed()
}

/// Bytes, and long runs of one of them.
pub(super) fn bytes() -> BoxedStrategy<String> {
    let short = proptest::collection::vec(any::<u8>(), 0..100)
        .prop_map(|bytes| format!("'\\x{}'::bytea", hex(&bytes)));
    let long = (any::<u8>(), 7990..8010_usize)
        .prop_map(|(byte, times)| format!("decode(repeat('{byte:02x}', {times}), 'hex')"));
    prop_oneof![9 => short, 1 => long].boxed()
}

pub(super) fn uuid() -> BoxedStrategy<String> {
    any::<[u8; 16]>().prop_map(|uuid| quoted(hex(&uuid))).boxed()
}

/// JSON text with blanks, repeated keys and escapes.
pub(super) fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?",
        "[ a-zäß🦀]{0,10}".prop_map(|text| format!("\"{text}\"")),
        Just("\"\\ud83e\\udd80 \\n \\\\ \\u00e9\"".to_owned()),
    ];
    let blank = || "[ \n\t]{0,2}";
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let members = proptest::collection::vec((blank(), "[ab]", inner.clone()), 0..4);
        let elements = proptest::collection::vec((blank(), inner), 0..4);
        prop_oneof![
            members.prop_map(|members| {
                let members = members.iter().map(|(blank, key, value)| format!("{blank}\"{key}\" :{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
            elements.prop_map(|elements| {
                let elements = elements.iter().map(|(blank, value)| format!("{blank}{value}"));
                format!("[{}]", elements.collect::<Vec<_>>().join(" ,"))
            }),
        ]
    })
    .boxed()
}

/// An XML document or content, with blanks, comments and sections that a parser might not keep.
fn xml() -> BoxedStrategy<String> {
    // XML 1.0, section 2.2: what a document may hold.
    let is_allowed = |character: &char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    let words = move || {
        let character = character().prop_filter("XML has it", is_allowed);
        proptest::collection::vec(character, 0..20).prop_map(String::from_iter)
    };
    let escaped = move || {
        words().prop_map(|text| {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        })
    };
    let element = (escaped(), escaped(), words()).prop_map(|(attribute, content, raw)| {
        let section = raw.replace("]]>", "");
        let comment = raw.replace('-', "~");
        format!("<a  b=\"{attribute}\">{content}<![CDATA[{section}]]><!--{comment}--><c /></a >")
    });
    let content = escaped().prop_map(|text| format!("xmlparse(CONTENT {})", literal(text)));
    prop_oneof![3 => element.prop_map(literal), 1 => content].boxed()
}
