//! The API's times in little memory: the operator keeps several for every object.

use std::num::NonZeroU64;

use jiff::Timestamp;

/// A time in whole seconds, rounded down. As an `Option` it is a third of the size of a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactTime(NonZeroU64);

/// Added to the seconds since 1970, so that the sum is positive.
const BEFORE: u64 = 1 << 63;

impl From<Timestamp> for CompactTime {
    fn from(time: Timestamp) -> Self {
        // `Timestamp` ends in the year 9999, and rounds towards 1970.
        let whole = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
        Self(NonZeroU64::new(BEFORE.wrapping_add_signed(whole)).unwrap_or(NonZeroU64::MIN))
    }
}

impl From<CompactTime> for Timestamp {
    fn from(second: CompactTime) -> Self {
        Timestamp::from_second(second.0.get().wrapping_sub(BEFORE).cast_signed()).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_come_back_in_order() {
        let texts = ["-009999-01-02T01:59:59Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-11-22T20:00:01Z"];
        let times = texts.map(|text| text.parse::<Timestamp>().unwrap());
        let seconds = times.map(CompactTime::from);
        assert_eq!(seconds.map(Timestamp::from), times);
        assert!(seconds.is_sorted());
        assert_eq!(size_of::<Option<CompactTime>>(), 8);
    }

    #[test]
    fn what_is_finer_is_cut_off() {
        let whole = |text: &str| Timestamp::from(CompactTime::from(text.parse::<Timestamp>().unwrap())).to_string();
        assert_eq!(whole("2026-11-22T20:00:01.9Z"), "2026-11-22T20:00:01Z");
        assert_eq!(whole("1969-12-31T23:59:58.1Z"), "1969-12-31T23:59:58Z");
    }
}
