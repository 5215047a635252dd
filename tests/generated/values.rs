//! The reference of the chart's values: their comments in values.yaml, and their types in values.schema.json.
//!
//! values.yaml is parsed by lines, because its comments are the text. It keeps to a simple form (a comment above its key,
//! no comment behind a value), and this fails where it does not.

use std::fmt::Write as _;

use serde_json::Value;

/// The words of the catalog are described together, above it.
const OPAQUE: &str = "catalog";

#[derive(Debug)]
struct Entry {
    /// The heading `# --- … ---` above it.
    section: String,
    path: Vec<String>,
    comment: Vec<String>,
    /// As written in values.yaml. Empty if nested values follow.
    default: String,
}

/// The whole page.
pub fn reference() -> String {
    let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/bailiwick");
    let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let entries = entries(&read("values.yaml"));
    everything_is_described(&entries, &schema);

    let mut text = String::from(
        "# Values of the chart\n\n\
         <!-- Generated from charts/bailiwick/values.yaml and values.schema.json by `make generate`. -->\n\n\
         The chart refuses values that are not described here, and values of another type.\n",
    );
    let mut section = "";
    for entry in &entries {
        if entry.section != section {
            section = &entry.section;
            write!(text, "\n## {section}\n").unwrap();
        }
        let parent = entry.default.is_empty() && entry.path[0] != OPAQUE;
        if parent && entry.comment.is_empty() {
            continue;
        }
        write!(text, "\n### `{}`\n\n", entry.path.join(".")).unwrap();
        if entry.path[0] == OPAQUE {
            text.push_str("An object. values.yaml contains the default words.\n");
        } else if !parent {
            let kind = sentence(&kind(find(&schema, &entry.path).unwrap(), &schema));
            writeln!(text, "{kind}. Default: `{}`.", entry.default).unwrap();
        }
        let described = paragraphs(&entry.comment);
        if !described.is_empty() {
            let gap = if parent { "" } else { "\n" };
            write!(text, "{gap}{described}").unwrap();
        }
    }
    text
}

fn entries(yaml: &str) -> Vec<Entry> {
    let (mut entries, mut section) = (Vec::<Entry>::new(), String::new());
    let (mut path, mut comment) = (Vec::<(usize, String)>::new(), Vec::new());
    for line in yaml.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(title) = line.strip_prefix("# --- ") {
            section = title.trim_end_matches('-').trim().to_owned();
        } else if trimmed.is_empty() {
            comment.clear();
        } else if let Some(words) = trimmed.strip_prefix('#') {
            comment.push(words.strip_prefix(' ').unwrap_or(words).to_owned());
        } else {
            let (key, value) = trimmed.split_once(':').unwrap_or_else(|| panic!("not `key: value`: {line}"));
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key.to_owned()));
            let comment = std::mem::take(&mut comment);
            if path[0].1 == OPAQUE && path.len() > 1 {
                continue;
            }
            assert!(!value.contains(" #"), "the comment goes above the value: {line}");
            let path = path.iter().map(|(_, key)| key.clone()).collect();
            entries.push(Entry { section: section.clone(), path, comment, default: value.trim().to_owned() });
        }
    }
    entries
}

/// Every value or its parent has a comment, and the schema has the same values as values.yaml.
fn everything_is_described(entries: &[Entry], schema: &Value) {
    let described = |path: &[String]| entries.iter().any(|entry| entry.path == path && !entry.comment.is_empty());
    for entry in entries {
        let name = entry.path.join(".");
        assert!(find(schema, &entry.path).is_some(), "values.schema.json does not know {name}");
        let parent = &entry.path[..entry.path.len() - 1];
        let is_leaf = !entry.default.is_empty();
        assert!(!is_leaf || described(&entry.path) || described(parent), "values.yaml does not say what {name} is");
    }
    let mut known = Vec::new();
    properties(schema, schema, &mut Vec::new(), &mut known);
    for path in known {
        let covered = entries.iter().any(|entry| {
            // Inside a value on one line, such as `resources.requests: {…}`, or inside the catalog.
            entry.path == path || (path.starts_with(&entry.path) && (!entry.default.is_empty() || path[0] == OPAQUE))
        });
        assert!(covered || path[0] == "global", "values.yaml does not have {}", path.join("."));
    }
}

fn properties(node: &Value, schema: &Value, path: &mut Vec<String>, into: &mut Vec<Vec<String>>) {
    for (name, child) in resolve(node, schema)["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        into.push(path.clone());
        properties(child, schema, path, into);
        path.pop();
    }
}

fn find<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |node, key| resolve(node, schema)["properties"].get(key))
}

fn resolve<'a>(node: &'a Value, schema: &'a Value) -> &'a Value {
    match node["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => node,
    }
}

/// The type of a value, in words.
fn kind(node: &Value, schema: &Value) -> String {
    let node = resolve(node, schema);
    if let Some(allowed) = node["enum"].as_array() {
        let words: Vec<String> = allowed.iter().map(|value| format!("`{}`", value.as_str().unwrap())).collect();
        let (last, others) = words.split_last().unwrap();
        return format!("{} or {last}", others.join(", "));
    }
    if let Some(types) = node["type"].as_array() {
        let each = |kind_of: &Value| kind(&serde_json::json!({"type": kind_of, "items": node["items"]}), schema);
        return types.iter().map(each).collect::<Vec<_>>().join(" or ");
    }
    match node["type"].as_str() {
        Some("array") => format!("list of {}s", kind(&node["items"], schema)),
        Some("object") if node["additionalProperties"]["type"] == "string" => "map of strings".to_owned(),
        Some("integer") => match (node["minimum"].as_i64(), node["maximum"].as_i64()) {
            (Some(least), Some(most)) => format!("integer from {least} to {most}"),
            (Some(least), None) => format!("integer, at least {least}"),
            _ => "integer".to_owned(),
        },
        Some(plain) => plain.to_owned(),
        // `if: {const: ""}, else: …`
        None if node.get("else").is_some() => kind(&node["else"], schema),
        None => "object".to_owned(),
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Paragraphs with columns or indentation stay as they are.
fn paragraphs(comment: &[String]) -> String {
    let mut text = String::new();
    for paragraph in comment.split(|line| line.is_empty()).filter(|paragraph| !paragraph.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        let drawn = paragraph.iter().any(|line| line.contains("   ") || line.starts_with("  "));
        let (open, close) = if drawn { ("```text\n", "```\n") } else { ("", "") };
        writeln!(text, "{open}{}\n{close}", paragraph.join("\n")).unwrap();
        text.truncate(text.trim_end().len() + 1);
    }
    text
}
