//! Times that people write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, de::Error as _};

/// A CEL rule that accepts what [`read`] can read, except leap seconds, which the API server does not know. It is a
/// rule and not a pattern so that the message helps. It does not use the format `date-time`: a value that makes such a
/// rule fail to evaluate would also make the API server refuse writes that leave the field unchanged.
pub const RULE: &str = concat!(
    "self.matches('",
    r"^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    // The years that have a 29th of February.
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?",
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    "')"
);

/// Reads a time. Times at the end of the year 9999 that are beyond the last one that `jiff` can represent become that
/// last one, because they mean "never".
///
/// # Errors
/// If the text is not a time.
pub fn read(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse().or_else(|error| match text.strip_prefix("9999-12-") {
        // As the same day of a year that is as long.
        Some(rest) => format!("9998-12-{rest}").parse::<Timestamp>().map(|_| Timestamp::MAX).map_err(|_| error),
        None => Err(error),
    })
}

/// Reads a field that may be absent.
///
/// # Errors
/// If the field is present and not a time.
pub fn option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| read(&text).map(Time).map_err(|error| D::Error::custom(format!("{text:?}: {error}")));
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2027-01-31T18:00:00Z", "2027-01-31T18:00:00Z")]
    #[case("2027-01-31T18:00:00.123456789+14:00", "2027-01-31T04:00:00.123456789Z")]
    #[case("0000-01-01T00:00:00+23:59", "-000001-12-31T00:01:00Z")]
    #[case("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z")]
    #[case("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999999999Z")]
    #[case("9999-12-31T23:59:59.999999999-23:59", "9999-12-30T22:00:00.999999999Z")]
    fn a_time_that_the_schema_accepts_is_read(#[case] text: &str, #[case] time: &str) {
        let pattern = RULE.trim_start_matches("self.matches('").trim_end_matches("')");
        assert!(regex::Regex::new(pattern).unwrap().is_match(text));
        assert_eq!(read(text).unwrap(), time.parse().unwrap());
    }

    #[rstest]
    #[case("2027-01-31T18:00:00.01234567890123456789Z")]
    #[case("2027-01-31T18:00:00+99:99")]
    #[case("2027-01-31T18:00:00Zt-foo")]
    #[case("9999-12-31T18:00:00Zt-foo")]
    #[case("9999-12-32T18:00:00Z")]
    #[case("2027-01-31T25:00:00Z")]
    #[case("tomorrow")]
    #[case("")]
    fn other_text_is_refused(#[case] text: &str) {
        assert!(read(text).is_err());
    }
}
