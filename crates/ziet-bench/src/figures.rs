//! Figures as they are printed: name, figure, goal.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::time::Duration;

/// Measurements of one thing, sorted.
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// What so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place.min(last)).copied().unwrap_or_default()
    }

    pub(crate) fn shown(&self) -> String {
        let [p50, p99, most] = [50, 99, 100].map(|percent| millis(self.percentile(percent)));
        format!("p50 {p50}  p99 {p99}  most {most}  n {}", self.0.len())
    }
}

pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}

pub(crate) fn per_second(number: usize, taken: Duration) -> f64 {
    count(number) / taken.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near to 2^52")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

pub(crate) fn figure(name: &str, figure: &str) {
    println!("  {name:46} {figure}");
}

/// A figure that has a goal, and whether it is reached.
pub(crate) fn goal(name: &str, shown: &str, goal: &str, reached: bool) {
    let verdict = if reached { "reached" } else { "MISSED" };
    println!("  {name:46} {shown:24} goal {goal}: {verdict}");
}

/// A duration that is to be at most `most`.
pub(crate) fn at_most(name: &str, duration: Duration, most: Duration) {
    let text = format!("at most {}", millis(most));
    goal(name, &millis(duration), &text, duration <= most);
}

/// So many a second, of which there are to be at least `least`.
pub(crate) fn at_least(name: &str, rate: f64, least: f64) {
    let text = format!("at least {least:.0}/s");
    goal(name, &format!("{rate:.0}/s"), &text, rate >= least);
}

/// Bytes of which there are to be at most so many megabytes.
pub(crate) fn at_most_megabytes(name: &str, bytes: u64, most: u64) {
    let tenths = bytes * 10 / (1 << 20);
    let shown = format!("{}.{} MB", tenths / 10, tenths % 10);
    let goal_text = format!("at most {most} MB");
    goal(name, &shown, &goal_text, bytes <= most << 20);
}
