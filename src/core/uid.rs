//! UIDs in little memory: the operator keeps one for every object of the site.

use std::fmt;
use std::num::NonZeroU64;

use uuid::Uuid;

use super::Name;

/// The UID of an object. Kubernetes does not define its form, so any text is valid; UUIDs, which API servers generate,
/// take 16 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Form);

/// As large as a UUID: its first half is never zero, which leaves room for the discriminant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Uuid(NonZeroU64, u64),
    Text(Name),
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        // A UID is text, and a UUID can be written in several ways. Only the usual one can be restored from the bytes.
        let usual = |uuid: &Uuid| *text == *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer());
        let halves = Uuid::try_parse(text).ok().filter(usual).map(|uuid| uuid.as_u64_pair());
        let uuid = halves.and_then(|(first, second)| Some(Form::Uuid(NonZeroU64::new(first)?, second)));
        Self(uuid.unwrap_or_else(|| Form::Text(text.into())))
    }
}

impl From<Option<&String>> for Uid {
    /// Objects that no API server has seen have an empty UID.
    fn from(text: Option<&String>) -> Self {
        text.map_or("", String::as_str).into()
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self(Form::Text(Name::default()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Uuid(first, second) => Uuid::from_u64_pair(first.get(), *second).hyphenated().fmt(f),
            Form::Text(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        let usual = "7b1a6cbb-9d0c-4c07-8f6e-0d4b6f5a2c11";
        let zero = "00000000-0000-0000-8f6e-0d4b6f5a2c11";
        let others = ["", "uid-1", "Group/a/b", "{7b1a6cbb-9d0c-4c07-8f6e-0d4b6f5a2c11}", zero];
        let loud = usual.to_uppercase();
        let bare = usual.replace('-', "");
        for text in others.into_iter().chain([usual, &loud, &bare]) {
            assert_eq!(Uid::from(text).to_string(), text);
        }
        assert!(matches!(Uid::from(usual).0, Form::Uuid(..)));
        assert_eq!(size_of::<Uid>(), 16);
        assert_ne!(Uid::from(usual), Uid::from(loud.as_str()));
    }
}
