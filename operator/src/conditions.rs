//! Conditions of a status, with the rules of the API conventions.
//!
//! Pure. A condition's transition time moves only when its status flips; each type stands at most once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl Is {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Is {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Sets one condition.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    is: Is,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut condition = Condition {
        type_: type_.to_owned(),
        status: is.as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

/// Whether a condition stands there with status `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Is::False, "Starting", "1/3", Some(1), first);
        set(&mut conditions, "Ready", Is::False, "Starting", "2/3", Some(1), later);
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].message, "2/3");
        assert_eq!(conditions[0].last_transition_time.0, first);
        set(&mut conditions, "Ready", Is::True, "AllReady", "3/3", Some(1), later);
        assert_eq!(conditions[0].last_transition_time.0, later);
        assert!(is_true(&conditions, "Ready"));
    }
}
