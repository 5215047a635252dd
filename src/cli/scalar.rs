//! Resolves YAML scalars as kubectl does: with the YAML 1.1 rules of go-yaml v2 (`resolve.go`), converted to JSON. So
//! `yes` is a boolean, `0755` is 493 and `1e3` is 1000, but `12:30:45` and `2027-01-31` are text.

use granit_parser::{ScalarStyle, Tag};
use serde_json::Value;

/// The JSON value of a scalar.
///
/// # Errors
/// When kubectl would refuse it: a tag that does not fit, or a number that JSON cannot represent.
pub fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text) } else { Ok(text.into()) };
    };
    let fits: fn(&Value) -> bool = match (tag.handle(), tag.suffix()) {
        ("tag:yaml.org,2002:", "null") => Value::is_null,
        ("tag:yaml.org,2002:", "bool") => Value::is_boolean,
        ("tag:yaml.org,2002:", "int" | "float") => Value::is_number,
        ("tag:yaml.org,2002:", "binary") => return Err("!!binary is not supported: write it as text".to_owned()),
        _ => return Ok(text.into()),
    };
    let value = plain(text)?;
    if fits(&value) { Ok(value) } else { Err(format!("{text:?} is not a valid {}", tag.suffix())) }
}

fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(false.into());
        }
        _ => {}
    }
    if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF")
        || [".nan", ".NaN", ".NAN"].contains(&text)
    {
        return Err(format!("JSON cannot represent the number {text}"));
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    };
    Ok(number.unwrap_or_else(|| text.into()))
}

/// As Go's `strconv.ParseInt` with base 0: a leading zero makes it octal.
fn integer(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_negative = text.starts_with('-');
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = i128::from(u64::from_str_radix(digits, radix).ok()?);
    match i64::try_from(if is_negative { -size } else { size }) {
        Ok(number) => Some(number.into()),
        // The API server treats an integer that does not fit as a fraction.
        Err(_) => text.parse::<f64>().ok().map(Value::from),
    }
}

/// Excludes `inf`, `nan` and the like. JSON writes a whole number without a fraction, so it becomes an integer.
fn float(text: &str) -> Option<Value> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let whole = format!("{number}").parse::<i64>().ok();
    Some(whole.map_or_else(|| number.into(), Value::from))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("~", json!(null))]
    #[case("", json!(null))]
    #[case("y", json!(true))]
    #[case("On", json!(true))]
    #[case("NO", json!(false))]
    #[case("nO", json!("nO"))]
    #[case("0755", json!(493))]
    #[case("-0755", json!(-493))]
    #[case("0o17", json!(15))]
    #[case("0x1F", json!(31))]
    #[case("0b101", json!(5))]
    #[case("08", json!(8))]
    #[case("1_000", json!(1000))]
    #[case("1e3", json!(1000))]
    #[case("1.50", json!(1.5))]
    #[case("1.0", json!(1))]
    #[case(".5", json!(0.5))]
    #[case("1.", json!(1))]
    #[case("1e999", json!("1e999"))]
    #[case("+", json!("+"))]
    #[case("+-1", json!("+-1"))]
    #[case("0x-1", json!("0x-1"))]
    #[case("0x", json!("0x"))]
    #[case("1e", json!("1e"))]
    #[case("1.2.3", json!("1.2.3"))]
    #[case("12:30:45", json!("12:30:45"))]
    #[case("2027-01-31", json!("2027-01-31"))]
    #[case("9223372036854775807", json!(i64::MAX))]
    #[case("9223372036854775808", json!(9_223_372_036_854_775_808.0))]
    #[case("-9223372036854775808", json!(i64::MIN))]
    #[case("infinity", json!("infinity"))]
    #[case("<<", json!("<<"))]
    fn a_plain_word_means_what_it_means_to_kubectl(#[case] text: &str, #[case] means: Value) {
        assert_eq!(value(text, ScalarStyle::Plain, None).unwrap(), means);
        assert_eq!(value(text, ScalarStyle::DoubleQuoted, None).unwrap(), json!(text));
        let tag = Tag::new("tag:yaml.org,2002:", "str");
        assert_eq!(value(text, ScalarStyle::Plain, Some(&tag)).unwrap(), json!(text));
    }

    #[test]
    fn what_json_does_not_have_is_refused() {
        for text in [".inf", "-.INF", "+.Inf", ".nan", ".NaN"] {
            assert!(value(text, ScalarStyle::Plain, None).is_err(), "{text}");
        }
        let tag = |suffix: &str| Tag::new("tag:yaml.org,2002:", suffix);
        assert_eq!(value("5", ScalarStyle::DoubleQuoted, Some(&tag("int"))).unwrap(), json!(5));
        assert!(value("five", ScalarStyle::Plain, Some(&tag("int"))).is_err());
        assert!(value("aGk=", ScalarStyle::Plain, Some(&tag("binary"))).is_err());
    }
}
