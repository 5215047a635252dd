//! Reads YAML and JSON into the JSON that kubectl would send, with the line of every field. Unlike kubectl it refuses
//! duplicate keys, and text that kubectl ignores.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScanError};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::scalar;

/// The most values that anchors and aliases may copy in one document. A few kilobytes could expand to billions; kubectl
/// has the same limit.
const MOST_ALIASED: usize = 400_000;

/// One document.
#[derive(Debug)]
pub struct Document {
    /// Its content as JSON.
    pub value: Value,
    /// The lines of its fields.
    pub lines: Lines,
}

/// The lines of the fields of a document, counted from 1.
#[derive(Debug, Default)]
pub struct Lines {
    first: usize,
    of: BTreeMap<String, usize>,
}

impl Lines {
    /// The line of a field as in `spec.subjects[0].name`, or of the nearest enclosing one.
    #[must_use]
    pub fn of(&self, mut field: &str) -> usize {
        loop {
            if let Some(line) = self.of.get(field) {
                return *line;
            }
            match field.rfind(['.', '[']) {
                Some(end) => field = &field[..end],
                None => return self.first,
            }
        }
    }
}

/// Why a document cannot be read.
#[derive(Debug)]
pub struct Error {
    /// The line, counted from 1.
    pub line: usize,
    /// The field, if the problem has one.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), field: String::new(), message: error.to_string() }
    }
}

/// Reads every document of a text, except empty ones.
pub fn documents(text: &str) -> impl Iterator<Item = Result<Document, Error>> {
    let parts = if text.trim_start().starts_with('{') { json(text) } else { None };
    let parts = parts.unwrap_or_else(|| chunks(text));
    parts.into_iter().filter_map(|(first, part)| part.and_then(|part| document(part, first)).transpose())
}

/// A part of a text, and the number of lines before it.
type Part<'a> = (usize, Result<&'a str, Error>);

/// JSON objects, one after the other, with nothing else between them. `None` if there is anything else.
fn json(text: &str) -> Option<Vec<Part<'_>>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut parts, mut first, mut start) = (Vec::new(), 0, 0);
    while let Some(next) = stream.next() {
        next.ok()?;
        let part = &text[start..stream.byte_offset()];
        parts.push((first, Ok(part)));
        first += part.matches('\n').count();
        start = stream.byte_offset();
    }
    Some(parts)
}

/// kubectl looks for lines that begin with `---` before it reads any YAML.
fn chunks(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut first, mut start, mut end) = (Vec::new(), 0, 0, 0);
    for (before, line) in text.split_inclusive('\n').enumerate() {
        if let Some(rest) = line.strip_prefix("---") {
            parts.push((first, Ok(&text[start..end])));
            (first, start) = (before + 1, end + line.len());
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let message = "only a comment may follow `---` on its line".to_owned();
                parts.push((before, Err(Error { line: before + 1, field: String::new(), message })));
            }
        }
        end += line.len();
    }
    parts.push((first, Ok(&text[start..])));
    parts
}

fn document(text: &str, lines_before: usize) -> Result<Option<Document>, Error> {
    let mut builder = Builder::default();
    let below = |error: Error| Error { line: lines_before + error.line, ..error };
    // Buffered comments would be an error if a hundred of them were in the wrong place.
    let options = granit_parser::options! { emit_comments: false };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| below(error.into()))?;
        builder.line = span.start.line();
        builder.take(event).map_err(below)?;
    }
    let Builder { value, mut lines, .. } = builder;
    lines.first += lines_before;
    lines.of.values_mut().for_each(|line| *line += lines_before);
    Ok(value.filter(|value| !value.is_null()).map(|value| Document { value, lines }))
}

/// Builds a value from the events of a parser.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// The values of anchors, and how many values each contains.
    anchors: BTreeMap<usize, (Value, usize)>,
    values: usize,
    aliased: usize,
    line: usize,
    lines: Lines,
    value: Option<Value>,
}

/// A list or mapping that is still open.
struct Open {
    holds: Holds,
    anchor: usize,
    values_before: usize,
}

enum Holds {
    Items(Vec<Value>),
    Fields { fields: Map<String, Value>, keys: BTreeSet<String>, key: Option<Key> },
}

enum Key {
    Field(String),
    /// `<<`: the fields of the value belong to the mapping itself.
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::DocumentStart(..) if self.value.is_some() => {
                Err(self.error("kubectl does not read what comes after `...`: begin the next document with `---`"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = text == "<<" && style == granit_parser::ScalarStyle::Plain && tag.is_none();
                let value = scalar::value(&text, style, tag.as_deref()).map_err(|message| self.error(message))?;
                self.values += 1;
                self.anchors.extend((anchor != 0).then(|| (anchor, (value.clone(), 1))));
                self.put(value, is_merge)
            }
            Event::Alias(anchor) => {
                let (value, values) =
                    self.anchors.get(&anchor).cloned().ok_or_else(|| self.error("the alias refers to itself"))?;
                self.values += values;
                self.copied(values)?;
                self.put(value, false)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Holds::Items(Vec::new()), anchor),
            Event::MappingStart(_, anchor, _) => {
                self.open(Holds::Fields { fields: Map::new(), keys: BTreeSet::new(), key: None }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { holds, anchor, values_before }) = self.open.pop() else { return Ok(()) };
                let value = match holds {
                    Holds::Items(items) => Value::Array(items),
                    Holds::Fields { fields, .. } => Value::Object(fields),
                };
                if anchor != 0 {
                    let values = self.values - values_before;
                    self.copied(values)?;
                    self.anchors.insert(anchor, (value.clone(), values));
                }
                self.close(value)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, holds: Holds, anchor: usize) -> Result<(), Error> {
        if self.wants_key() {
            return Err(self.error("a key must be a string"));
        }
        self.note_line();
        self.open.push(Open { holds, anchor, values_before: self.values });
        self.values += 1;
        Ok(())
    }

    fn copied(&mut self, values: usize) -> Result<(), Error> {
        self.aliased += values;
        if self.aliased <= MOST_ALIASED { Ok(()) } else { Err(self.error("its aliases expand to too many values")) }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { holds: Holds::Fields { key: None, .. }, .. }))
    }

    /// Adds a scalar, or the value of an alias, at the current position: as a key or a value.
    fn put(&mut self, value: Value, is_merge: bool) -> Result<(), Error> {
        if !self.wants_key() {
            self.note_line();
            return self.close(value);
        }
        let name = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(self.error("a key must be a string")),
        };
        let mut is_new = true;
        if let Some(Open { holds: Holds::Fields { keys, key, .. }, .. }) = self.open.last_mut() {
            is_new = is_merge || keys.insert(name.clone());
            *key = Some(if is_merge { Key::Merge } else { Key::Field(name) });
        }
        self.note_line();
        if is_new { Ok(()) } else { Err(Error { field: self.path(), ..self.error("this key appears twice") }) }
    }

    /// Adds a complete value.
    fn close(&mut self, value: Value) -> Result<(), Error> {
        let mut fits = Some(());
        match self.open.last_mut().map(|open| &mut open.holds) {
            None => self.value = Some(value),
            Some(Holds::Items(items)) => items.push(value),
            Some(Holds::Fields { fields, key, .. }) => match key.take() {
                Some(Key::Field(name)) => {
                    fields.insert(name, value);
                }
                Some(Key::Merge) => fits = merge(fields, value),
                None => {}
            },
        }
        fits.ok_or_else(|| self.error("`<<` takes a mapping or a list of mappings"))
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error { line: self.line, field: String::new(), message: message.into() }
    }

    fn note_line(&mut self) {
        if self.lines.first == 0 {
            self.lines.first = self.line;
        }
        self.lines.of.entry(self.path()).or_insert(self.line);
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.holds {
                Holds::Items(items) => path.push_str(&format!("[{}]", items.len())),
                Holds::Fields { key, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(match key {
                        Some(Key::Field(name)) => name,
                        Some(Key::Merge) => "<<",
                        None => "",
                    });
                }
            }
        }
        path
    }
}

/// As in kubectl, a merge replaces earlier keys. Of several mappings, the first takes precedence.
fn merge(fields: &mut Map<String, Value>, value: Value) -> Option<()> {
    let mappings = if let Value::Array(items) = value { items } else { vec![value] };
    for mapping in mappings.into_iter().rev() {
        let Value::Object(mapping) = mapping else { return None };
        fields.extend(mapping);
    }
    Some(())
}
