//! JSON documents in one form for each value, for columns of SQL Server's type `json`: [`write()`].
//!
//! The type keeps a document and not its text, so that a document is sent, and compared, in a form that does not depend on
//! how it was spelled. It is jsonb's order of names without its blanks:
//!
//! ```text
//! {"bb": 1.50, "a": [1e2, -0]}     {"a":[100,0],"bb":1.5}     names by length, then by bytes; numbers without zeros at the
//!                                                             end of the fraction, and without exponent
//! "\u00e9\/\u001F"                 "é/\u001f"                 only what must be escaped is
//! ```
//!
//! The type has limits that PostgreSQL does not have, some of them in silence: the manual names them in part ("json data
//! type", "Limitations"), the rest was seen at servers. What is beyond them is refused here, and so never reaches a server:
//!
//! ```text
//! no object or array             error 13609
//! numbers of over 38 digits      error 1007, or digits behind the point are cut; with an exponent always rounded to ten
//! an object names a thing twice  the first one stays (PostgreSQL reads the last one)
//! nested over 128 deep           error 13645
//! over 65,535 items              error 13647, for each object and array
//! over 32,768 names              error 13649, for the document
//! \u0000, halves of pairs        are no text
//! ```

use std::collections::HashSet;

use segcdc_model::ArrayElement;

use crate::json_array;
use crate::json_string;

/// Most bytes of a document in its normal form. A text of the source that is longer does not come into memory at all.
pub const MAX_BYTES: usize = 1 << 20;
/// Objects and arrays within each other.
const MAX_DEPTH: usize = 128;
/// Members of an object, elements of an array.
const MAX_ITEMS: usize = 65_535;
/// Different names of members in a document.
const MAX_NAMES: usize = 32_768;
/// Digits of a number, as a decimal has.
const MAX_DIGITS: usize = 38;

/// Why a document has no place in the type `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentTrouble {
    /// A number, text, truth value or null alone.
    Scalar,
    /// A number of too many digits.
    Number,
    /// A name twice in one object.
    DuplicateName,
    /// Nested too deep, or with too many items or names.
    TooComplex,
    /// A character that is none: `\u0000`, or half of a surrogate pair.
    NoText,
    /// Too long.
    TooLong,
    /// An array that JSON has no place for.
    Array,
    /// No JSON.
    Malformed,
}

// === impl DocumentTrouble ===

impl DocumentTrouble {
    /// What the document is, for people, before "has no place in the target's type".
    pub const fn describe(self) -> &'static str {
        match self {
            DocumentTrouble::Scalar => "JSON that is no object or array",
            DocumentTrouble::Number => "JSON with a number of more than 38 digits",
            DocumentTrouble::DuplicateName => "JSON with an object that has a name twice",
            DocumentTrouble::TooComplex => {
                "JSON nested more than 128 deep, or with more than 65,535 items in a row or 32,768 names,"
            }
            DocumentTrouble::NoText => "JSON with \\u0000 or half of a surrogate pair",
            DocumentTrouble::TooLong => "JSON of more than 1 MiB",
            DocumentTrouble::Array => "an array with a lower bound that is not 1, or with NaN or infinity,",
            DocumentTrouble::Malformed => "text that is no JSON",
        }
    }
}

/// Appends the normal form of what PostgreSQL prints: of JSON, or of the JSON array that an array with such elements becomes.
///
/// # Errors
/// As [`write()`].
pub fn write_printed(
    text: &str,
    array: Option<ArrayElement>,
    out: &mut String,
) -> Result<(), DocumentTrouble> {
    let Some(element) = array else { return write(text, out) };
    let mut json = String::with_capacity(text.len());
    json_array::write(text, element, &mut json).map_err(|_| DocumentTrouble::Array)?;
    write(&json, out)
}

/// Appends the normal form of a document.
///
/// # Errors
/// Why the type has no place for it; `out` is as it was.
pub fn write(text: &str, out: &mut String) -> Result<(), DocumentTrouble> {
    let before = out.len();
    let written = Writer::run(text, out)
        .and_then(|()| if out.len() - before > MAX_BYTES { Err(DocumentTrouble::TooLong) } else { Ok(()) });
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Reads a document and writes its normal form.
struct Writer<'t> {
    text: &'t str,
    at: usize,
    names: HashSet<String>,
}

// === impl Writer ===

impl<'t> Writer<'t> {
    fn run(text: &'t str, out: &mut String) -> Result<(), DocumentTrouble> {
        let mut writer = Writer { text, at: 0, names: HashSet::new() };
        writer.skip_blanks();
        if !matches!(writer.peek(), Some(b'{' | b'[')) {
            return Err(DocumentTrouble::Scalar);
        }
        writer.value(0, out)?;
        writer.skip_blanks();
        if writer.at == text.len() { Ok(()) } else { Err(DocumentTrouble::Malformed) }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes what is expected, behind blanks.
    fn expect(&mut self, byte: u8) -> Result<(), DocumentTrouble> {
        if self.eat(byte) { Ok(()) } else { Err(DocumentTrouble::Malformed) }
    }

    /// Takes a byte behind blanks, if it is there.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A value `depth` objects and arrays deep.
    fn value(&mut self, depth: usize, out: &mut String) -> Result<(), DocumentTrouble> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth + 1, out),
            Some(b'[') => self.array(depth + 1, out),
            Some(b'"') => {
                let string = self.string()?;
                json_string::push(&string, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.rest().starts_with(word));
                let word = word.ok_or(DocumentTrouble::Malformed)?;
                self.at += word.len();
                out.push_str(word);
                Ok(())
            }
        }
    }

    fn array(&mut self, depth: usize, out: &mut String) -> Result<(), DocumentTrouble> {
        self.enter(depth)?;
        out.push('[');
        let mut items = 0;
        if !self.eat(b']') {
            loop {
                count(&mut items)?;
                self.value(depth, out)?;
                if self.eat(b']') {
                    break;
                }
                self.expect(b',')?;
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, depth: usize, out: &mut String) -> Result<(), DocumentTrouble> {
        self.enter(depth)?;
        // Members are written one behind the other, and then put in order.
        let begin = out.len();
        let mut members: Vec<(String, usize)> = Vec::new();
        let mut items = 0;
        if !self.eat(b'}') {
            loop {
                count(&mut items)?;
                self.skip_blanks();
                let name = self.string()?;
                self.expect(b':')?;
                self.note(&name)?;
                self.value(depth, out)?;
                members.push((name, out.len()));
                if self.eat(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        let written = out.split_off(begin);
        let starts = std::iter::once(begin).chain(members.iter().map(|(_, end)| *end));
        let mut ordered: Vec<(&str, &str)> = members
            .iter()
            .zip(starts)
            .map(|((name, end), start)| {
                (name.as_str(), written.get(start - begin..end - begin).unwrap_or_default())
            })
            .collect();
        ordered.sort_by_key(|(name, _)| (name.len(), *name));
        if ordered.windows(2).any(|pair| matches!(pair, [(first, _), (second, _)] if first == second)) {
            return Err(DocumentTrouble::DuplicateName);
        }
        out.push('{');
        for (index, (name, value)) in ordered.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_string::push(name, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    /// Takes the brace or bracket of what is so deep.
    fn enter(&mut self, depth: usize) -> Result<(), DocumentTrouble> {
        self.at += 1;
        if depth > MAX_DEPTH { Err(DocumentTrouble::TooComplex) } else { Ok(()) }
    }

    /// Counts a member's name.
    fn note(&mut self, name: &str) -> Result<(), DocumentTrouble> {
        if !self.names.contains(name) {
            if self.names.len() == MAX_NAMES {
                return Err(DocumentTrouble::TooComplex);
            }
            self.names.insert(name.to_owned());
        }
        Ok(())
    }

    /// A string without its escapes.
    fn string(&mut self) -> Result<String, DocumentTrouble> {
        self.at += 1;
        let mut string = String::new();
        if self.text.as_bytes().get(self.at - 1) != Some(&b'"') {
            return Err(DocumentTrouble::Malformed);
        }
        loop {
            let rest = self.rest();
            let special = rest.find(|char: char| char == '"' || char == '\\' || u32::from(char) < 0x20);
            let (plain, rest) =
                special.and_then(|at| rest.split_at_checked(at)).ok_or(DocumentTrouble::Malformed)?;
            string.push_str(plain);
            self.at += plain.len() + 1;
            match rest.bytes().next() {
                Some(b'"') => return Ok(string),
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(DocumentTrouble::Malformed),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, DocumentTrouble> {
        let byte = self.peek().ok_or(DocumentTrouble::Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err(DocumentTrouble::Malformed),
        })
    }

    /// Four digits of a code unit, and those of its pair.
    fn code_point(&mut self) -> Result<char, DocumentTrouble> {
        let first = self.code_unit()?;
        let mut units = vec![first];
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
            self.at += 2;
            units.push(self.code_unit()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(char)) if char != '\0' => Ok(char),
            _ => Err(DocumentTrouble::NoText),
        }
    }

    fn code_unit(&mut self) -> Result<u16, DocumentTrouble> {
        let digits = self.rest().get(..4).ok_or(DocumentTrouble::Malformed)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(DocumentTrouble::Malformed);
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|_| DocumentTrouble::Malformed)
    }

    fn number(&mut self, out: &mut String) -> Result<(), DocumentTrouble> {
        let rest = self.rest();
        let end = rest.find(|char: char| !matches!(char, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let number = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.at += number.len();
        push_number(number, out)
    }
}

/// Counts an item of an object or array.
fn count(items: &mut usize) -> Result<(), DocumentTrouble> {
    *items += 1;
    if *items > MAX_ITEMS { Err(DocumentTrouble::TooComplex) } else { Ok(()) }
}

/// Appends a number by its value: digits, and a point where there is a fraction.
fn push_number(number: &str, out: &mut String) -> Result<(), DocumentTrouble> {
    if !json_string::is_number(number) {
        return Err(DocumentTrouble::Malformed);
    }
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, number),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits = digits.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        out.push('0');
        return Ok(());
    }
    // The number is 0.digits times ten to the power of `point`. An exponent that no number of 64 bits holds is beyond all.
    let exponent: i64 = exponent.parse().map_err(|_| DocumentTrouble::Number)?;
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::try_from(leading).unwrap_or(i64::MAX);
    let point = point.saturating_add(exponent);
    let places = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let most = i64::try_from(MAX_DIGITS).unwrap_or(i64::MAX);
    if places > most || point > most || places.saturating_sub(point) > most {
        return Err(DocumentTrouble::Number);
    }
    if negative {
        out.push('-');
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
    if point <= 0 {
        out.push_str("0.");
        out.push_str(&zeros(-point));
        out.push_str(digits);
    } else if point >= places {
        out.push_str(digits);
        out.push_str(&zeros(point - places));
    } else {
        let (whole, fraction) = usize::try_from(point)
            .ok()
            .and_then(|point| digits.split_at_checked(point))
            .unwrap_or((digits, ""));
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
