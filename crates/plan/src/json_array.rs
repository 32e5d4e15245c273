//! Arrays of PostgreSQL as JSON arrays: [`write()`].
//!
//! ```text
//! {1,NULL,3}              [1,null,3]            numbers, of integers, floats and numerics, as PostgreSQL prints them
//! {t,f}                   [true,false]
//! {a,"b \"c\"",NULL}      ["a","b \"c\"",null]  text, and everything that is no number, truth value or JSON
//! {"{\"k\": 1}"}          [{"k": 1}]            json and jsonb, as they are
//! {{1,2},{3,4}}           [[1,2],[3,4]]
//! {}                      []
//! ```
//!
//! JSON has no place for lower bounds other than 1, NaN and infinities: such arrays are refused. The text form is that of
//! `array_out` (`src/backend/utils/adt/arrayfuncs.c`) for types whose elements are separated by commas.

use segcdc_model::ArrayElement;

use crate::json_string;

/// Why an array cannot be a JSON array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayTrouble {
    /// A lower bound that is not 1.
    LowerBound,
    /// NaN or an infinity.
    NotANumber,
    /// Not what PostgreSQL prints for such an array.
    Malformed,
}

/// Dimensions that an array can have (`MAXDIM`).
const MAX_DEPTH: usize = 6;

/// What the elements of a type's array are; `None` for a type of which that is not known. `type_name` is as PostgreSQL writes
/// it: `integer[]`, `character varying(20)[]`.
pub fn element_of(type_name: &str) -> Option<ArrayElement> {
    let element = type_name.strip_suffix("[]")?;
    let plain = match element.split_once('(') {
        Some((before, behind)) => format!("{before}{}", behind.split_once(')').map_or("", |(_, rest)| rest)),
        None => element.to_owned(),
    };
    Some(match plain.as_str() {
        "boolean" => ArrayElement::Bool,
        "smallint" | "integer" | "bigint" | "oid" | "real" | "double precision" | "numeric" => {
            ArrayElement::Number
        }
        "json" | "jsonb" => ArrayElement::Json,
        "text"
        | "character varying"
        | "character"
        | "bpchar"
        | "name"
        | "uuid"
        | "bytea"
        | "date"
        | "time without time zone"
        | "time with time zone"
        | "timestamp without time zone"
        | "timestamp with time zone"
        | "interval"
        | "inet"
        | "cidr"
        | "macaddr"
        | "xml"
        | "bit"
        | "bit varying" => ArrayElement::Text,
        _ => return None,
    })
}

/// What the elements of an array with this OID in `pg_type` are; `None` for one that is not built in, or no array of numbers,
/// truth values or JSON. For noticing that a column has got another type.
pub(crate) fn element_of_oid(oid: u32) -> Option<ArrayElement> {
    Some(match oid {
        1000 => ArrayElement::Bool,
        1005 | 1007 | 1016 | 1021 | 1022 | 1028 | 1231 => ArrayElement::Number,
        199 | 3807 => ArrayElement::Json,
        _ => return None,
    })
}

/// Appends the JSON array that an array's text becomes.
///
/// # Errors
/// Why there is none; what was appended until then means nothing.
pub fn write(text: &str, element: ArrayElement, out: &mut String) -> Result<(), ArrayTrouble> {
    if text.starts_with('[') {
        return Err(ArrayTrouble::LowerBound);
    }
    let mut reader = Reader { text, at: 0 };
    reader.array(element, 1, out)?;
    if reader.at == text.len() { Ok(()) } else { Err(ArrayTrouble::Malformed) }
}

/// Whether an array can be a JSON array.
///
/// # Errors
/// Why not.
pub(crate) fn check(text: &str, element: ArrayElement) -> Result<(), ArrayTrouble> {
    write(text, element, &mut String::new())
}

/// Reads an array's text.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

// === impl Reader ===

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, ArrayTrouble> {
        let byte = self.peek().ok_or(ArrayTrouble::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// Braces and what is between them.
    fn array(&mut self, element: ArrayElement, depth: usize, out: &mut String) -> Result<(), ArrayTrouble> {
        if self.next()? != b'{' || depth > MAX_DEPTH {
            return Err(ArrayTrouble::Malformed);
        }
        out.push('[');
        if self.peek() == Some(b'}') && depth == 1 {
            self.at += 1;
            out.push(']');
            return Ok(());
        }
        loop {
            match self.peek() {
                Some(b'{') => self.array(element, depth + 1, out)?,
                Some(b'"') => push_element(&self.quoted()?, element, out)?,
                _ => match self.bare()? {
                    "NULL" => out.push_str("null"),
                    bare => push_element(bare, element, out)?,
                },
            }
            match self.next()? {
                b',' => out.push(','),
                b'}' => {
                    out.push(']');
                    return Ok(());
                }
                _ => return Err(ArrayTrouble::Malformed),
            }
        }
    }

    /// An element between quotes, in which a backslash stands in front of a quote or a backslash.
    fn quoted(&mut self) -> Result<String, ArrayTrouble> {
        self.at += 1;
        let mut element = String::new();
        loop {
            let rest = self.text.get(self.at..).ok_or(ArrayTrouble::Malformed)?;
            let special = rest.find(['"', '\\']).ok_or(ArrayTrouble::Malformed)?;
            let (plain, rest) = rest.split_at(special);
            element.push_str(plain);
            self.at += special + 1;
            if rest.starts_with('"') {
                return Ok(element);
            }
            let escaped = rest.chars().nth(1).ok_or(ArrayTrouble::Malformed)?;
            element.push(escaped);
            self.at += escaped.len_utf8();
        }
    }

    /// An element without quotes, which is never empty.
    fn bare(&mut self) -> Result<&'t str, ArrayTrouble> {
        let rest = self.text.get(self.at..).ok_or(ArrayTrouble::Malformed)?;
        let end = rest.find([',', '}', '{', '"', '\\']).ok_or(ArrayTrouble::Malformed)?;
        self.at += end;
        rest.get(..end).filter(|bare| !bare.is_empty()).ok_or(ArrayTrouble::Malformed)
    }
}

/// Appends an element that is not NULL.
fn push_element(text: &str, element: ArrayElement, out: &mut String) -> Result<(), ArrayTrouble> {
    match element {
        ArrayElement::Bool => out.push_str(match text {
            "t" => "true",
            "f" => "false",
            _ => return Err(ArrayTrouble::Malformed),
        }),
        ArrayElement::Number => match text {
            "NaN" | "Infinity" | "-Infinity" => return Err(ArrayTrouble::NotANumber),
            number if json_string::is_number(number) => out.push_str(number),
            _ => return Err(ArrayTrouble::Malformed),
        },
        ArrayElement::Json => out.push_str(text),
        ArrayElement::Text => json_string::push(text, out),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str, element: ArrayElement) -> Result<String, ArrayTrouble> {
        let mut out = String::new();
        write(text, element, &mut out).map(|()| out)
    }

    #[test]
    fn arrays_become_what_the_page_says() {
        use ArrayElement::{Bool, Json, Number, Text};
        for (text, element, expected) in [
            ("{}", Number, "[]"),
            ("{1,NULL,-3}", Number, "[1,null,-3]"),
            ("{1.50,-0.5,1e-45,1e+20,-0}", Number, "[1.50,-0.5,1e-45,1e+20,-0]"),
            ("{{1,2},{3,NULL}}", Number, "[[1,2],[3,null]]"),
            ("{{{1}},{{2}}}", Number, "[[[1]],[[2]]]"),
            ("{t,f,NULL}", Bool, "[true,false,null]"),
            (
                r#"{a,"","NULL",NULL,"b \"c\"","d\\e","f,g","{h}"," i "}"#,
                Text,
                r#"["a","","NULL",null,"b \"c\"","d\\e","f,g","{h}"," i "]"#,
            ),
            ("{\"line\nbreak\u{1}\u{1f}\",ü😀}", Text, "[\"line\\nbreak\\u0001\\u001f\",\"ü😀\"]"),
            (r#"{"{\"k\": [1, 2.50]}",null,NULL}"#, Json, r#"[{"k": [1, 2.50]},null,null]"#),
        ] {
            assert_eq!(json(text, element).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_json_has_no_place_for_is_refused() {
        use ArrayElement::{Bool, Number, Text};
        for (text, element, trouble) in [
            ("[2:3]={1,2}", Number, ArrayTrouble::LowerBound),
            ("[0:0][1:2]={{1,2}}", Number, ArrayTrouble::LowerBound),
            ("{NaN}", Number, ArrayTrouble::NotANumber),
            ("{1,-Infinity}", Number, ArrayTrouble::NotANumber),
            ("{a}", Number, ArrayTrouble::Malformed),
            ("{01}", Number, ArrayTrouble::Malformed),
            ("{true}", Bool, ArrayTrouble::Malformed),
            ("", Text, ArrayTrouble::Malformed),
            ("{", Text, ArrayTrouble::Malformed),
            ("{a", Text, ArrayTrouble::Malformed),
            ("{a}b", Text, ArrayTrouble::Malformed),
            ("{a,}", Text, ArrayTrouble::Malformed),
            ("{{}}", Text, ArrayTrouble::Malformed),
            ("{\"a}", Text, ArrayTrouble::Malformed),
            ("{\"a\\", Text, ArrayTrouble::Malformed),
        ] {
            assert_eq!(json(text, element), Err(trouble), "{text}");
        }
    }

    #[test]
    fn elements_are_known_by_the_name_of_the_type() {
        for (name, element) in [
            ("integer[]", Some(ArrayElement::Number)),
            ("numeric(10,2)[]", Some(ArrayElement::Number)),
            ("character varying(20)[]", Some(ArrayElement::Text)),
            ("timestamp(3) with time zone[]", Some(ArrayElement::Text)),
            ("boolean[]", Some(ArrayElement::Bool)),
            ("jsonb[]", Some(ArrayElement::Json)),
            ("box[]", None),
            ("public.mood[]", None),
            ("integer", None),
        ] {
            assert_eq!(element_of(name), element, "{name}");
        }
    }

    /// What `array_out` prints, and the JSON value that it should be.
    fn printed() -> impl Strategy<Value = (String, serde_json::Value)> {
        let leaf = prop_oneof![
            Just(("NULL".to_owned(), serde_json::Value::Null)),
            "[a-zA-Z\"\\\\{}, \n\t\u{1}ü😀]{0,8}".prop_map(|text| {
                let plain = !text.is_empty()
                    && !text.eq_ignore_ascii_case("null")
                    && !text.contains(['"', '\\', '{', '}', ',', ' ', '\n', '\t']);
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                (if plain { text.clone() } else { format!("\"{escaped}\"") }, text.into())
            }),
        ];
        let list = |inner: BoxedStrategy<(String, serde_json::Value)>| {
            proptest::collection::vec(inner, 1..4).prop_map(|elements| {
                let (texts, values): (Vec<_>, Vec<_>) = elements.into_iter().unzip();
                (format!("{{{}}}", texts.join(",")), serde_json::Value::Array(values))
            })
        };
        let flat = list(leaf.boxed()).boxed();
        prop_oneof![flat.clone(), list(flat)]
    }

    proptest! {
        #[test]
        fn any_array_is_the_json_array_of_its_elements((text, value) in printed()) {
            let found = json(&text, ArrayElement::Text).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&found).unwrap(), value, "{}", text);
        }

        #[test]
        fn any_text_is_an_array_or_refused(text in "[\\[\\]{}\",\\\\a1 :=]{0,16}") {
            for element in [ArrayElement::Text, ArrayElement::Number, ArrayElement::Bool] {
                if let Ok(found) = json(&text, element) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "{} {}", text, found);
                }
            }
        }
    }
}
