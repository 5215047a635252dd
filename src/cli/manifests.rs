//! Reading manifests: files and directories of YAML (or JSON) into documents whose every field knows its line.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser};
use serde::Deserialize as _;
use serde_json::Value;

/// Something in a file that cannot be taken, for a person to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The field, as in `spec.subjects[0].name`; empty for the whole document.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// One document of a file.
#[derive(Debug)]
pub struct Document {
    /// The file.
    pub file: PathBuf,
    /// What it says.
    pub value: Value,
    first_line: usize,
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// A problem with a field of this document, at the line of the field or of the nearest one around it.
    #[must_use]
    pub fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        let mut known = field;
        let line = loop {
            if let Some(line) = self.lines.get(known) {
                break *line;
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = &known[..end],
                None => break self.first_line,
            }
        };
        Problem { file: self.file.clone(), line, field: field.to_owned(), message: message.into() }
    }

    /// A text field at a path of keys.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> &str {
        path.iter().try_fold(&self.value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Reads everything under these paths: files, directories (their `.yaml`, `.yml` and `.json` files, as kubectl does), and
/// `-` for standard input. Problems are collected, not only the first one.
///
/// # Errors
/// When a path cannot be read.
pub fn read(paths: &[PathBuf], recursive: bool) -> Result<(Vec<Document>, Vec<Problem>), super::Error> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        for file in files(path, recursive)? {
            let text = if file.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map(|_| text)
            } else {
                std::fs::read_to_string(&file)
            };
            let text = text.map_err(|source| super::Error::File { path: file.clone(), source })?;
            parse(&file, &text, &mut documents, &mut problems);
        }
    }
    Ok((documents, problems))
}

fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, super::Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let error = |source| super::Error::File { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?.path();
        let manifest = entry.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
        if entry.is_dir() {
            if recursive {
                found.extend(files(&entry, true)?);
            }
        } else if manifest {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn parse(file: &Path, text: &str, documents: &mut Vec<Document>, problems: &mut Vec<Problem>) {
    let lines = match lines(text) {
        Ok(lines) => lines,
        Err((line, message)) => {
            problems.push(Problem { file: file.to_owned(), line, field: String::new(), message });
            return;
        }
    };
    for (deserializer, (first_line, lines)) in serde_yaml::Deserializer::from_str(text).zip(lines) {
        match Value::deserialize(deserializer) {
            Ok(Value::Null) => {}
            Ok(value) => documents.push(Document { file: file.to_owned(), value, first_line, lines }),
            Err(error) => {
                let line = error.location().map_or(first_line, |l| l.line());
                problems.push(Problem {
                    file: file.to_owned(),
                    line,
                    field: String::new(),
                    message: error.to_string(),
                });
                // serde_yaml goes on in the middle of a document that it could not read, and panics there.
                return;
            }
        }
    }
}

type Lines = (usize, BTreeMap<String, usize>);

/// Where each field of each document stands. serde knows the lines of errors of its own only.
fn lines(text: &str) -> Result<Vec<Lines>, (usize, String)> {
    let mut documents = Vec::new();
    let mut walk = Walk::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| (error.marker().line(), error.to_string()))?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => walk = Walk { first: None, ..Walk::default() },
            Event::DocumentEnd => {
                documents.push((walk.first.unwrap_or(line), std::mem::take(&mut walk.lines)));
            }
            Event::MappingStart(..) => {
                walk.node(line, None);
                walk.open.push(Open::Mapping { key: None });
            }
            Event::SequenceStart(..) => {
                walk.node(line, None);
                walk.open.push(Open::Sequence { next: 0 });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                walk.open.pop();
                walk.done();
            }
            Event::Scalar(text, ..) => {
                walk.node(line, Some(&text));
                walk.done();
            }
            Event::Alias(_) => {
                walk.node(line, None);
                walk.done();
            }
            _ => {}
        }
    }
    Ok(documents)
}

#[derive(Default)]
struct Walk {
    first: Option<usize>,
    open: Vec<Open>,
    /// Whether the scalar that just ended was a key.
    was_key: bool,
    lines: BTreeMap<String, usize>,
}

enum Open {
    Mapping { key: Option<String> },
    Sequence { next: usize },
}

impl Walk {
    fn node(&mut self, line: usize, scalar: Option<&str>) {
        self.first.get_or_insert(line);
        self.was_key = false;
        if let Some(Open::Mapping { key: key @ None }) = self.open.last_mut() {
            // A key of any other kind than text has no path that a person would write.
            *key = Some(scalar.unwrap_or("?").to_owned());
            self.was_key = true;
        }
        let path = self.path();
        self.lines.entry(path).or_insert(line);
    }

    /// A value has ended: the next thing is a key, or the next item.
    fn done(&mut self) {
        if std::mem::take(&mut self.was_key) {
            return;
        }
        match self.open.last_mut() {
            Some(Open::Mapping { key }) => *key = None,
            Some(Open::Sequence { next }) => *next += 1,
            None => {}
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::Mapping { key } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key.as_deref().unwrap_or_default());
                }
                Open::Sequence { next } => path.push_str(&format!("[{next}]")),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_knows_its_line() {
        let text = "# first\na: 1\nb:\n  - c: x\n    d: [1, 2]\n  - e\n---\nf: 2\n";
        let found = lines(text).unwrap();
        let first = &found[0].1;
        assert_eq!((first["a"], first["b"], first["b[0].c"], first["b[0].d[1]"], first["b[1]"]), (2, 3, 4, 5, 6));
        assert_eq!((found[1].0, found[1].1["f"]), (8, 8));
    }

    #[test]
    fn an_unknown_field_is_reported_at_the_nearest_line() {
        let mut documents = Vec::new();
        parse(Path::new("x.yaml"), "spec:\n  subjects:\n  - kind: User\n", &mut documents, &mut Vec::new());
        assert_eq!(documents[0].problem("spec.subjects[0].name", "is required").line, 3);
        assert_eq!(documents[0].problem("metadata.name", "is required").line, 1);
    }
}
