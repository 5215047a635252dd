//! Random numbers. Tests print the seed, which repeats a run.

/// A generator that is good enough for choices.
pub struct Random(u64);

impl Random {
    /// Always the same numbers for one seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed in `BAILIWICK_SEED`, or a new one.
    pub fn seed() -> u64 {
        let given = std::env::var("BAILIWICK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap());
        println!("BAILIWICK_SEED={seed}");
        seed
    }

    /// From 0 up to, but excluding, n.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Whether an event with this probability happens now.
    pub fn happens(&mut self, rate: f64) -> bool {
        (self.below(1_000_000) as f64) < rate * 1_000_000.0
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[usize::try_from(self.below(things.len() as u64)).unwrap()]
    }
}
