//! Reads YAML that people write into ConfigMaps.
//!
//! serde_yaml needs time that grows with the square of the nesting: 40,000 brackets take half a minute. So another
//! parser measures the text first, and stops at the first level too many.

use granit_parser::{Event, Parser, ScanError};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The deepest nesting of a text. The chart's own texts have eight levels, and its policies twelve.
const DEEPEST: usize = 32;

/// The longest message about an unreadable object, in bytes: it may quote its content.
const LONGEST_MESSAGE: usize = 512;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too long; it is not parsed at all.
    #[error("it has {length} bytes, more than the limit of {longest}")]
    TooLong {
        /// The length of the text in bytes.
        length: usize,
        /// The limit in bytes.
        longest: usize,
    },
    /// Nested too deeply; it is not parsed to its end.
    #[error("line {line}: nested more than {DEEPEST} levels deep")]
    TooDeep {
        /// The line of the first level too many.
        line: usize,
    },
    /// Not YAML.
    #[error("line {}: {}", .0.marker().line(), .0)]
    Scan(#[from] ScanError),
    /// Not of the expected shape, or not YAML.
    #[error(transparent)]
    Yaml(#[from] serde_yaml::Error),
}

/// Reads a text of one YAML document and at most `longest` bytes.
///
/// # Errors
/// When it is too long, too deep, not YAML, or not of the shape of a `T`.
pub fn read<T: DeserializeOwned>(text: &str, longest: usize) -> Result<T, Error> {
    measure(text, longest)?;
    Ok(serde_yaml::from_str(text)?)
}

/// Reads a text of several YAML documents and at most `longest` bytes.
///
/// # Errors
/// When it is too long, too deep or not YAML.
pub fn documents(text: &str, longest: usize) -> Result<Vec<Value>, Error> {
    measure(text, longest)?;
    serde_yaml::Deserializer::from_str(text).map(|document| Ok(Value::deserialize(document)?)).collect()
}

fn measure(text: &str, longest: usize) -> Result<(), Error> {
    if text.len() > longest {
        return Err(Error::TooLong { length: text.len(), longest });
    }
    let mut depth = 0_usize;
    for next in Parser::new_from_str(text) {
        let (event, span) = next?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(Error::TooDeep { line: span.start.line() });
        }
    }
    Ok(())
}

/// Truncates an error message.
#[must_use]
pub fn brief(message: &impl ToString) -> String {
    let mut message = message.to_string();
    message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
    message
}
