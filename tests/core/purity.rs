//! `src/core` decides and does nothing else: no client, no async, no clock, no files, no environment.

use std::path::{Path, PathBuf};

const REFUSED: [&str; 12] = [
    "kube::Client",
    "kube::Api",
    "tokio",
    "async ",
    ".await",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::env",
    "std::net",
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[test]
fn core_performs_no_io_and_reads_no_clock() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
    let files = files(&core);
    assert!(files.len() > 10, "src/core has moved");
    let mut found = Vec::new();
    for file in files {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let words = REFUSED.iter().filter(|word| code(line).contains(**word));
            found.extend(words.map(|word| format!("{}:{}: {word}", file.display(), number + 1)));
        }
    }
    assert!(found.is_empty(), "core must stay pure:\n{}", found.join("\n"));
}
