//! Texts that people write into ConfigMaps: none can keep the operator busy.

use std::time::{Duration, Instant};

use bailiwick::core::catalog::{Bounds, Settings};
use bailiwick::core::policies;
use rstest::rstest;

/// The longest settings.
const LONGEST: usize = 16 * 1024;
/// On a busy machine, in a debug build.
const SOON: Duration = Duration::from_secs(2);

/// A text of `length` bytes at most.
fn filled(start: &str, unit: &str, length: usize) -> String {
    start.to_owned() + &unit.repeat((length - start.len()) / unit.len())
}

#[rstest]
#[case::lists("users: ", "[")]
#[case::maps("users: ", "{")]
#[case::maps_with_keys("users: ", "{a: ")]
#[case::block_lists("", "- ")]
#[case::questions("", "? ")]
#[case::colons("", ": ")]
#[case::many_questions("users: {", "? a, ")]
#[case::anchors("users: [", "&a ")]
#[case::aliases("users: [&a x, ", "*a, ")]
#[case::tags("users: ", "!a ")]
#[case::quotes("users: ", "\"")]
#[case::quoted("users: [", "\"a\" , ")]
#[case::documents("", "---\n")]
#[case::ends("", "...\n")]
#[case::directives("", "%A\n")]
#[case::comments("", "#\n")]
#[case::blocks("users: ", "|\n ")]
#[case::spaces("users:", " ")]
#[case::lines("users:", "\n")]
#[case::a_word("users: ", "a")]
#[case::many_keys("", "users: 1\n")]
#[case::commas("users: [", ",")]
#[case::a_key("{", "a")]
#[case::tabs("users:", "\t")]
#[case::backslashes("users: \"", "\\\n")]
fn no_settings_take_long(#[case] start: &str, #[case] unit: &str) {
    let text = filled(start, unit, LONGEST);
    let started = Instant::now();
    let _ = Settings::parse(&text).is_ok();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// Each refers to the previous one ten times.
#[test]
fn text_that_multiplies_itself_does_not_take_long() {
    let mut text = "a0: &a0 x\n".to_owned();
    for n in 1..200 {
        text += &format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(10));
    }
    let started = Instant::now();
    assert!(Settings::parse(&text).is_err());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[rstest]
#[case::settings(|text: &str| Settings::parse(text).unwrap_err().to_string(), 16 * 1024)]
#[case::bounds(|text: &str| Bounds::parse(text).unwrap_err().to_string(), 512 * 1024)]
#[case::policies(|text: &str| policies::parse(text).unwrap_err().to_string(), 512 * 1024)]
fn the_length_and_the_depth_have_a_limit(#[case] error: fn(&str) -> String, #[case] longest: usize) {
    let started = Instant::now();
    assert_eq!(error(&filled("\n", "- ", longest)), "line 2: nested more than 32 levels deep");
    assert!(error(&filled("\n", "[", longest)).starts_with("line 2: recursion limit exceeded"));
    let longer = error(&filled("", "[", longest + 1));
    assert_eq!(longer, format!("it has {} bytes, more than the limit of {longest}", longest + 1));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// More namespaces and words than anybody has.
#[test]
fn a_large_catalog_is_read() {
    let mut text = "releaseNamespace: r\nnamespaceWhitelist:\n".to_owned();
    for n in 0..5_000 {
        text += &format!("  - {n:0>63}\n");
    }
    text += "catalog:\n";
    for n in 0..500 {
        text += &format!(
            "  word-{n}:\n    rules:\n      all:\n        apiGroups: [apps]\n        resources: [deployments]\n"
        );
    }
    let bounds = Bounds::parse(&text).unwrap();
    assert_eq!((bounds.namespace_whitelist.len(), bounds.catalog.len()), (5_000, 500));
}
