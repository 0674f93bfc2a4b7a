//! How long the packet thread looks for packets before it sleeps. Waking a thread on another core takes about as long as
//! a thousand packets, so it pays to look a little longer when packets come soon, and only then; and only when it takes
//! no processor time from the peer or from the pod itself.

use std::fs;

/// Longest look, in nanoseconds: about what waking takes.
const LONGEST: u64 = 50_000;
/// Shortest look: below that it is a sleep.
const SHORTEST: u64 = 2_000;
/// A packet that comes within this time of falling asleep would have been worth a longer look.
const SOON: u64 = 100_000;

/// How long to look, learned from what looking brought.
#[derive(Debug)]
pub(super) struct Spin {
    allowed: bool,
    nanos: u64,
}

impl Spin {
    /// Looks only where it is `allowed`.
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, nanos: 0 }
    }

    /// How long to look now, in nanoseconds.
    pub(super) fn nanos(&self) -> u64 {
        self.nanos
    }

    /// A look brought nothing.
    pub(super) fn was_in_vain(&mut self) {
        self.nanos /= 2;
        if self.nanos < SHORTEST {
            self.nanos = 0;
        }
    }

    /// Something came that long after falling asleep.
    pub(super) fn slept(&mut self, nanos: u64) {
        if self.allowed && nanos <= SOON {
            self.nanos = (self.nanos * 2).clamp(SHORTEST, LONGEST);
        }
    }
}

/// Whether this process may keep a core busy while its peers run on another: it may use two cores or more, and its
/// cgroup gives it the time of two.
pub(super) fn has_spare_core() -> bool {
    let cores = rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count());
    cores >= 2 && quota().is_none_or(|cores| cores >= 2.0)
}

/// Cores that the cgroup allows, of version 2 or 1; `None`: no limit.
fn quota() -> Option<f64> {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        return parse_quota(&text);
    }
    let value = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/cpu/cpu.cfs_{name}_us"));
    parse_quota(&format!("{} {}", value("quota").ok()?.trim(), value("period").ok()?.trim()))
}

/// `MAX PERIOD` in microseconds; `max` or a negative number is no limit.
fn parse_quota(text: &str) -> Option<f64> {
    let (most, period) = text.trim().split_once(' ')?;
    let (most, period): (f64, f64) = (most.parse().ok()?, period.trim().parse().ok()?);
    (most > 0.0 && period > 0.0).then_some(most / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_grows_while_packets_come_soon_and_shrinks_to_nothing_when_none_come() {
        let mut spin = Spin::new(true);
        assert_eq!(spin.nanos(), 0);
        (0..20).for_each(|_| spin.slept(30_000));
        assert_eq!(spin.nanos(), LONGEST);
        spin.was_in_vain();
        assert_eq!(spin.nanos(), LONGEST / 2);
        (0..20).for_each(|_| spin.was_in_vain());
        assert_eq!(spin.nanos(), 0);
        spin.slept(5_000_000);
        assert_eq!(spin.nanos(), 0, "a packet that comes late is worth no look");
    }

    #[test]
    fn without_a_spare_core_nobody_looks() {
        let mut spin = Spin::new(false);
        (0..20).for_each(|_| spin.slept(1));
        assert_eq!(spin.nanos(), 0);
    }

    #[test]
    fn quotas_of_both_versions_of_cgroups_are_read() {
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("250000 100000\n"), Some(2.5));
        assert_eq!(parse_quota("-1 100000"), None);
        assert_eq!(parse_quota("rubbish"), None);
    }
}
