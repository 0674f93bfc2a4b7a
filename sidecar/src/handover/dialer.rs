//! Keeps one connection to one peer: looks its owner up, dials, backs off, starts again.

use crate::store::{OwnerEntry, Ownership};

/// Names a connection in this process.
pub type ConnId = u64;

const FIRST_BACKOFF: u64 = 5_000_000;
const LONGEST_BACKOFF: u64 = 500_000_000;
/// A look-up or a dial that takes longer is given up.
const PATIENCE: u64 = 1_000_000_000;

/// Whom to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Id of the owner: on one node it is found by this.
    pub owner: String,
    /// Where it takes links.
    pub address: String,
}

/// What a dialler wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Ask the directory for the peer's owner.
    Lookup,
    /// Dial this owner.
    Dial(Destination),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle { retry_at: u64 },
    LookingUp { since: u64 },
    Dialing { since: u64 },
    Up(ConnId),
}

/// One dialler.
#[derive(Debug)]
pub struct Dialer {
    state: State,
    /// A fixed one (a handover's target) or the last one that the directory told.
    destination: Option<Destination>,
    fixed: bool,
    backoff: u64,
}

impl Dialer {
    /// Dials whoever the directory names.
    pub fn by_directory() -> Self {
        Self { state: State::Idle { retry_at: 0 }, destination: None, fixed: false, backoff: FIRST_BACKOFF }
    }

    /// Dials one owner.
    pub fn to(destination: Destination) -> Self {
        Self { destination: Some(destination), fixed: true, ..Self::by_directory() }
    }

    /// The connection, when it is up.
    pub fn up(&self) -> Option<ConnId> {
        match self.state {
            State::Up(conn) => Some(conn),
            _ => None,
        }
    }

    /// What to do now, if anything.
    pub fn poll(&mut self, now: u64) -> Option<Wish> {
        match self.state {
            State::Idle { retry_at } if now >= retry_at => {
                if self.fixed {
                    return self.dial(now);
                }
                self.state = State::LookingUp { since: now };
                Some(Wish::Lookup)
            }
            // The directory does not answer: try where the peer was last.
            State::LookingUp { since } if now >= since + PATIENCE => self.dial(now),
            State::Dialing { since } if now >= since + PATIENCE => {
                self.failed(now);
                None
            }
            _ => None,
        }
    }

    /// When [`Dialer::poll`] has something to do.
    pub fn deadline(&self) -> u64 {
        match self.state {
            State::Idle { retry_at } => retry_at,
            State::LookingUp { since } | State::Dialing { since } => since + PATIENCE,
            State::Up(_) => u64::MAX,
        }
    }

    fn dial(&mut self, now: u64) -> Option<Wish> {
        match &self.destination {
            Some(destination) => {
                self.state = State::Dialing { since: now };
                Some(Wish::Dial(destination.clone()))
            }
            None => {
                self.failed(now);
                None
            }
        }
    }

    /// The directory's answer.
    pub fn found(&mut self, ownership: Option<&Ownership>, now: u64) -> Option<Wish> {
        if !matches!(self.state, State::LookingUp { .. }) {
            return None;
        }
        match ownership {
            Some(ownership) => {
                let OwnerEntry { owner, address, .. } = ownership.entry.clone();
                self.destination = Some(Destination { owner, address });
                self.dial(now)
            }
            None => {
                self.failed(now);
                None
            }
        }
    }

    /// The connection is up.
    pub fn connected(&mut self, conn: ConnId) {
        self.state = State::Up(conn);
        self.backoff = FIRST_BACKOFF;
    }

    /// The connection broke or could not be made: again, after a while.
    pub fn failed(&mut self, now: u64) {
        self.state = State::Idle { retry_at: now + self.backoff };
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialler_looks_up_dials_and_backs_off_and_never_spins() {
        let mut dialer = Dialer::by_directory();
        assert_eq!(dialer.poll(0), Some(Wish::Lookup));
        assert_eq!(dialer.poll(0), None);
        assert_eq!(dialer.found(None, 0), None);
        assert!(dialer.deadline() > 0);
        let mut attempts = 0;
        for ms in 0..1000 {
            if dialer.poll(ms * 1_000_000) == Some(Wish::Lookup) {
                attempts += 1;
                dialer.failed(ms * 1_000_000);
            }
        }
        assert!((4..12).contains(&attempts), "{attempts}");
    }

    #[test]
    fn a_dialler_goes_where_the_peer_was_when_the_directory_is_silent() {
        let destination = Destination { owner: "a".into(), address: "a:1".into() };
        let mut dialer = Dialer::to(destination.clone());
        assert_eq!(dialer.poll(0), Some(Wish::Dial(destination)));
        dialer.connected(7);
        assert_eq!((dialer.up(), dialer.deadline()), (Some(7), u64::MAX));
    }
}
