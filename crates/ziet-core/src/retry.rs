//! When a failed attempt is followed by another.

use std::time::Duration;

/// The wait before the second attempt; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// No wait is longer than this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How many retries a run has, and how long each of them is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one, 0 to 100. Lost attempts do not count.
    pub retries: u32,
    pub backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// 2, 4, 8, 16, 30, 30 … seconds, without jitter.
    Exponential,
    /// At once; for tests and `--no-backoff`.
    None,
}

impl RetryPolicy {
    /// The wait after `failed` counted attempts, or None when no retry is left.
    pub fn wait_after(&self, failed: u32) -> Option<Duration> {
        if failed > self.retries {
            return None;
        }
        Some(match self.backoff {
            Backoff::None => Duration::ZERO,
            Backoff::Exponential => {
                let factor = 1_u32
                    .checked_shl(failed.saturating_sub(1))
                    .filter(|f| *f != 0);
                factor.map_or(LONGEST_WAIT, |factor| {
                    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
                })
            }
        })
    }

    /// Attempts in all when every one of them fails.
    pub fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_2_4_8_16_and_then_30_seconds() {
        let policy = RetryPolicy {
            retries: 100,
            backoff: Backoff::Exponential,
        };
        let waits: Vec<u64> = (1..=7)
            .map(|failed| policy.wait_after(failed).unwrap().as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(policy.wait_after(100), Some(LONGEST_WAIT));
        assert_eq!(policy.wait_after(101), None);
    }

    #[test]
    fn without_retries_the_first_failure_is_the_last() {
        assert_eq!(
            RetryPolicy {
                retries: 0,
                backoff: Backoff::Exponential
            }
            .wait_after(1),
            None
        );
    }
}
