//! Statistics of repeated measurements.

use serde::{Deserialize, Serialize};

/// Measurements in milliseconds, sorted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<f64>", into = "Vec<f64>")]
pub struct Sample(Vec<f64>);

impl From<Vec<f64>> for Sample {
    fn from(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl From<Sample> for Vec<f64> {
    /// Rounded to the microsecond, which exceeds the clock's precision.
    fn from(sample: Sample) -> Self {
        sample.0.into_iter().map(|value| (value * 1000.0).round() / 1000.0).collect()
    }
}

impl Sample {
    /// The value that this percentage of the measurements does not exceed. Zero without measurements.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The middle.
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The share of the measurements up to each value, for a curve.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let count = self.0.len() as f64;
        self.0.iter().enumerate().map(|(n, value)| (*value, (n + 1) as f64 / count)).collect()
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms", self.median(), self.percentile(99.0))
    }
}
