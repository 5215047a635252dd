//! Reads manifests: files and directories of YAML or JSON, into objects that know the line of each field.

use std::borrow::Cow;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;

use super::yaml::{self, Lines};

/// Something in a file that a person has to fix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// The line, counted from 1.
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

/// One object of a file: a document, or an item of a list.
#[derive(Debug)]
pub struct Document {
    /// The file.
    pub file: PathBuf,
    /// Its content.
    pub value: Value,
    /// Its position in the document, as in `items[0]`; empty if it is the document.
    place: String,
    lines: Rc<Lines>,
}

impl Document {
    /// A problem with a field of this document, at the line of the field or of the nearest enclosing one.
    #[must_use]
    pub fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        let dot = if self.place.is_empty() || field.is_empty() { "" } else { "." };
        let field = format!("{}{dot}{field}", self.place);
        Problem { file: self.file.clone(), line: self.lines.of(&field), field, message: message.into() }
    }

    /// A string field at a path of keys.
    #[must_use]
    pub fn text(&self, path: &[&str]) -> &str {
        path.iter().try_fold(&self.value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The object itself, or the items of a list. As in kubectl, anything with `items` is a list, an item without a
    /// kind has that of the list, and lists do not nest.
    fn objects(mut self, objects: &mut Vec<Self>, problems: &mut Vec<Problem>) {
        let (version, kind) = (self.text(&["apiVersion"]).to_owned(), self.text(&["kind"]).to_owned());
        let items = match self.value.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null) if (&*version, &*kind) != ("v1", "List") => return objects.push(self),
            _ => return problems.push(self.problem("items", "must be of type array")),
        };
        for (index, mut value) in items.into_iter().enumerate() {
            if let Value::Object(fields) = &mut value
                && !fields.contains_key("apiVersion")
                && !fields.contains_key("kind")
            {
                fields.insert("apiVersion".to_owned(), version.clone().into());
                fields.insert("kind".to_owned(), kind.strip_suffix("List").unwrap_or(&kind).into());
            }
            let is_list = value.get("items").is_some_and(Value::is_array);
            let place = format!("items[{index}]");
            let item = Self { file: self.file.clone(), value, place, lines: Rc::clone(&self.lines) };
            if is_list {
                problems.push(item.problem("", "is a list within a list, which kubectl does not read"));
            } else {
                objects.push(item);
            }
        }
    }
}

/// Reads everything under these paths: files, directories (their `.yaml`, `.yml` and `.json` files, as kubectl does),
/// and `-` for standard input. Problems are collected, not only the first one.
///
/// # Errors
/// When a path cannot be read.
pub fn read(paths: &[PathBuf], recursive: bool) -> Result<(Vec<Document>, Vec<Problem>), super::Error> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        for file in files(path, recursive)? {
            let mut bytes = Vec::new();
            let read = if file.as_os_str() == "-" {
                std::io::stdin().read_to_end(&mut bytes)
            } else {
                std::fs::File::open(&file).and_then(|mut file| file.read_to_end(&mut bytes))
            };
            read.map_err(|source| super::Error::File { path: file.clone(), source })?;
            parse(&file, &bytes, &mut documents, &mut problems);
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

fn parse(file: &Path, bytes: &[u8], objects: &mut Vec<Document>, problems: &mut Vec<Problem>) {
    let problem = |line, field, message| Problem { file: file.to_owned(), line, field, message };
    let Some(text) = text(bytes) else {
        let message = "is neither UTF-8 nor UTF-16 with a byte order mark".to_owned();
        return problems.push(problem(1, String::new(), message));
    };
    for document in yaml::documents(&text) {
        match document {
            Ok(yaml::Document { value, lines }) => {
                let document = Document { file: file.to_owned(), value, place: String::new(), lines: Rc::new(lines) };
                document.objects(objects, problems);
            }
            Err(error) => problems.push(problem(error.line, error.field, error.message)),
        }
    }
}

/// The text of a file, by its byte order mark if it has one.
fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten().map(Cow::Owned)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Document> {
        let (mut objects, mut problems) = (Vec::new(), Vec::new());
        parse(Path::new("x.yaml"), text.as_bytes(), &mut objects, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        objects
    }

    #[test]
    fn every_field_knows_its_line_and_an_unknown_one_the_nearest() {
        let found = read("# first\na: 1\nb:\n  - c: x\n    d: [1, 2]\n  - e\n---\nf: 2\n");
        let line = |field: &str| found[0].problem(field, "").line;
        assert_eq!((line("a"), line("b"), line("b[0].c"), line("b[0].d[1]"), line("b[1]")), (2, 3, 4, 5, 6));
        assert_eq!((line("b[0].d[7].x"), line("metadata.name"), line("")), (5, 2, 2));
        assert_eq!((found[1].problem("", "").line, found[1].problem("f", "").line), (8, 8));
    }

    #[test]
    fn an_item_of_a_list_knows_its_place() {
        let found = read("kind: UserList\napiVersion: a/b\nitems:\n- x: 1\n- kind: Z\n");
        assert_eq!(found[0].value, serde_json::json!({"kind": "User", "apiVersion": "a/b", "x": 1}));
        assert_eq!(found[0].problem("x", "is odd").to_string(), "x.yaml:4: items[0].x: is odd");
        assert_eq!(found[1].value, serde_json::json!({"kind": "Z"}));
    }

    #[test]
    fn json_objects_may_follow_one_another() {
        let found = read("{\"a\":\t\"\\ud83e\\udd80\\/\"}\n{\"a\": [1e2]}");
        assert_eq!(found[0].value["a"], "\u{1f980}/");
        assert_eq!((&found[1].value["a"][0], found[1].problem("a", "").line), (&100.into(), 2));
    }
}
