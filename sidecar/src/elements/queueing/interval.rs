//! Time spans as Click's handlers show them: `500ms`, `20us`, `1.500000s`.

use std::time::Duration;

use crate::state::{Reader, StateError, Writer};

/// The shortest time between two runs of a timed element: less would let it take all the time.
pub(crate) const SHORTEST: Duration = Duration::from_micros(1);

/// A span below a second in the largest unit that needs no fraction, a longer one in seconds.
pub(crate) fn show_interval(span: Duration) -> String {
    let (seconds, nanos) = (span.as_secs(), span.subsec_nanos());
    match (seconds, nanos) {
        (0, nanos) if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        (0, nanos) if nanos % 1000 == 0 => format!("{}us", nanos / 1000),
        (0, nanos) => format!("{nanos}ns"),
        (_, nanos) if nanos % 1000 == 0 => format!("{seconds}.{:06}s", nanos / 1000),
        _ => format!("{seconds}.{nanos:09}s"),
    }
}

pub(super) fn put_duration(span: Duration, w: &mut Writer) {
    w.put_u64(span.as_secs());
    w.put_u32(span.subsec_nanos());
}

pub(super) fn get_duration(r: &mut Reader<'_>) -> Result<Duration, StateError> {
    let (seconds, nanos) = (r.get_u64()?, r.get_u32()?);
    if nanos >= 1_000_000_000 {
        return Err(StateError::Invalid { what: "nanoseconds", value: nanos.into() });
    }
    Ok(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_the_unit_that_fits() {
        let shown = [500_000_000, 20_000, 7, 1_500_000_000, 2_000_000_001].map(Duration::from_nanos);
        let shown = shown.map(show_interval);
        assert_eq!(shown, ["500ms", "20us", "7ns", "1.500000s", "2.000000001s"]);
    }
}
