//! Numbers with a binary fraction, as Click keeps probabilities and averages.

/// The nearest number with `bits` bits of fraction; `None` if `value` is negative or too large.
pub(in crate::elements) fn to_fixed_point(value: f64, bits: u32) -> Option<u64> {
    let scaled = (value * (1_u64 << bits) as f64).round();
    (0.0..1e18).contains(&scaled).then_some(scaled as u64)
}

/// The shortest decimal number that stands for `value`, which has `bits` bits of fraction.
pub(in crate::elements) fn show_fixed_point(value: u64, bits: u32) -> String {
    let real = value as f64 / (1_u64 << bits) as f64;
    let mut shown = (0..=bits as usize).map(|digits| format!("{real:.digits$}"));
    let stands_for =
        |text: &String| text.parse().is_ok_and(|parsed: f64| to_fixed_point(parsed, bits) == Some(value));
    shown.find(stands_for).unwrap_or_else(|| real.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_short_as_it_can_be() {
        for (text, bits) in [("0.1", 28), ("0.02", 16), ("1", 16), ("0", 10), ("12.5", 10)] {
            let value = to_fixed_point(text.parse().unwrap(), bits).unwrap();
            assert_eq!(show_fixed_point(value, bits), text);
        }
        assert_eq!(to_fixed_point(-0.5, 16), None);
    }
}
