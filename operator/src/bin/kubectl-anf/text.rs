//! Numbers and tables as people read them.

use anf_crds::Duration;

/// `1204` as `1,204`.
pub(crate) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 flow`, `1,204 flows`.
pub(crate) fn counted(n: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Packets per second.
pub(crate) fn rate(pps: i64) -> String {
    match pps {
        ..10_000 => format!("{pps} pps"),
        10_000..10_000_000 => format!("{:.1} kpps", pps as f64 / 1e3),
        _ => format!("{:.1} Mpps", pps as f64 / 1e6),
    }
}

/// A gap, in milliseconds with as many digits as a measurement of it has.
pub(crate) fn gap(duration: Duration) -> String {
    let millis = duration.as_millis_f64();
    if millis < 100.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// Rows with their columns aligned, empty columns left out, no blanks at line ends.
pub(crate) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
            let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
            line.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1204, -1_000_000].map(count), ["0", "999", "1,204", "-1,000,000"]);
        assert_eq!([counted(1, "flow"), counted(0, "flow")], ["1 flow", "0 flows"]);
    }

    #[test]
    fn rates_and_gaps_have_their_unit() {
        assert_eq!([0, 9_999, 50_120, 12_300_000].map(rate), ["0 pps", "9999 pps", "50.1 kpps", "12.3 Mpps"]);
        assert_eq!(gap(Duration::from_millis_f64(0.84)), "0.84 ms");
        assert_eq!(gap(Duration::from_millis(1204)), "1204 ms");
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows =
            [vec!["a".into(), String::new(), "x".into()], vec!["long".into(), String::new(), String::new()]];
        assert_eq!(columns(&rows), ["a     x", "long"]);
    }
}
