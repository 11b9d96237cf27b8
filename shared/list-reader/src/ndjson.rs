//! A line of JSON to a row.

use std::fmt;
use std::ops::Range;

use domain::Limits;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::columns::{self, MAX_COLUMNS};
use crate::row::Pair;
use crate::table::check_url;
use crate::{Extra, ListRow, RowFault};

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// An object: see [`JsonLine::pairs`].
    Object,
    /// A string: see [`JsonLine::text`].
    String,
}

/// A parsed line. Its buffers are reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct JsonLine {
    /// Names and values of an object, one after the other; or the string.
    pub(crate) text: String,
    /// Where names and values are in the text.
    pub(crate) pairs: Vec<Pair>,
    /// Whether a value is a string, per pair.
    pub(crate) strings: Vec<bool>,
}

impl JsonLine {
    /// Parses an object or a string; the error is what the JSON parser says.
    pub(crate) fn parse(&mut self, line: &str) -> Result<Line, String> {
        self.text.clear();
        self.pairs.clear();
        self.strings.clear();
        let line = line.trim();
        if line.starts_with('"') {
            self.text = serde_json::from_str(line).map_err(|error| reason(&error))?;
            return Ok(Line::String);
        }
        let mut deserializer = serde_json::Deserializer::from_str(line);
        Members(self)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| reason(&error))?;
        Ok(Line::Object)
    }

    fn push(&mut self, name: Range<usize>, raw: &RawValue) -> Result<(), serde_json::Error> {
        let raw = raw.get();
        let start = self.text.len();
        let is_string = raw.starts_with('"');
        match raw
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            Some(plain) if !plain.contains('\\') => self.text.push_str(plain),
            Some(_) => self.text.push_str(&serde_json::from_str::<String>(raw)?),
            None => self.text.push_str(raw),
        }
        let value = start..self.text.len();
        self.pairs.push(Pair { name, value });
        self.strings.push(is_string);
        Ok(())
    }
}

/// The position that `serde_json` adds is one within the line, and misleads beside a line number.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

struct Members<'a>(&'a mut JsonLine);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or a string")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let line = self.0;
        while let Some(name) = map.next_key_seed(Name(&mut line.text))? {
            let raw: &RawValue = map.next_value()?;
            let is_null = raw.get() == "null";
            if !is_null && line.pairs.len() <= MAX_COLUMNS {
                line.push(name, raw).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Writes a key into the text and says where it is.
struct Name<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Range<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Range<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let start = self.0.len();
        self.0.push_str(key);
        Ok(start..self.0.len())
    }
}

/// Turns lines of JSON into rows.
#[derive(Debug)]
pub(crate) struct NdjsonParser {
    key: String,
    line: JsonLine,
    max_cell_bytes: usize,
    max_url_bytes: usize,
}

impl NdjsonParser {
    pub(crate) fn new(key: String, limits: &Limits) -> Self {
        Self {
            key,
            line: JsonLine::default(),
            max_cell_bytes: limits.max_field_bytes,
            max_url_bytes: limits.max_url_bytes,
        }
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        let pairs = self.line.pairs.capacity() * size_of::<Pair>();
        self.line.text.capacity() + pairs + self.line.strings.capacity()
    }

    pub(crate) fn parse(&mut self, record: &[u8], line: u64) -> ListRow<'_> {
        let Ok(record) = str::from_utf8(record) else {
            return faulty(RowFault::NotUtf8 { line });
        };
        match self.line.parse(record) {
            Err(reason) => faulty(RowFault::MalformedJson { line, reason }),
            Ok(Line::String) => {
                let cell = check_url(&self.line.text, line, &self.key, self.max_url_bytes);
                let extra = Extra::default();
                ListRow { line, cell, extra }
            }
            Ok(Line::Object) => self.object(line),
        }
    }

    fn object(&mut self, line: u64) -> ListRow<'_> {
        if self.line.pairs.len() > MAX_COLUMNS {
            let limit = MAX_COLUMNS;
            return faulty(RowFault::TooManyCells { line, limit });
        }
        let limit = self.max_cell_bytes;
        let mut overlong = false;
        for pair in &mut self.line.pairs {
            if pair.value.len() > limit || pair.name.len() > limit {
                overlong = true;
                pair.value = crate::row::UNREADABLE;
            }
        }
        let text = self.line.text.as_str();
        // Of a repeated key the last one counts, as in most JSON parsers (RFC 8259, section 4).
        let url = self
            .line
            .pairs
            .iter()
            .rposition(|pair| text[pair.name.clone()] == self.key);
        let extra = Extra::pairs(text, &self.line.pairs, url);
        let cell = match url {
            _ if overlong => Err(RowFault::CellTooLong { line, limit }),
            None => Err(RowFault::MissingKey {
                line,
                key: columns::shortened(&self.key),
            }),
            Some(url) if !self.line.strings[url] => Err(RowFault::NotAString {
                line,
                key: columns::shortened(&self.key),
            }),
            Some(url) => {
                let cell = &text[self.line.pairs[url].value.clone()];
                check_url(cell, line, &self.key, self.max_url_bytes)
            }
        };
        ListRow { line, cell, extra }
    }
}

pub(crate) fn faulty(fault: RowFault) -> ListRow<'static> {
    ListRow {
        line: fault.line(),
        cell: Err(fault),
        extra: Extra::default(),
    }
}
