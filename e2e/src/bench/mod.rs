//! Measured figures, each beside a control run where one makes sense.
//!
//! Timed figures live here and in no test. A figure is the median of its runs; a distribution gives several figures.

pub mod dataplane;
pub mod edge;
pub mod engine;
pub mod handover;
pub mod state;
mod trace;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Error;

/// One measured figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The benchmark.
    pub bench: String,
    /// The case of it.
    pub case: String,
    /// What is measured.
    pub metric: String,
    /// The median, or the named quantile.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// The same without what is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<f64>,
    /// Number of runs, or of samples of a distribution.
    pub runs: usize,
}

impl Figure {
    /// A line of the table.
    pub fn row(&self) -> String {
        let control = self.control.map_or_else(String::new, |control| format!("{control:.2}"));
        format!(
            "{:<10} {:<34} {:<16} {:>10.2} {:<8} {:>10} {:>5}",
            self.bench, self.case, self.metric, self.value, self.unit, control, self.runs
        )
    }
}

/// The head of the table.
pub fn table_head() -> String {
    format!(
        "{:<10} {:<34} {:<16} {:>10} {:<8} {:>10} {:>5}",
        "bench", "case", "metric", "value", "unit", "control", "runs"
    )
}

/// The quantile of samples; 0 without any.
pub fn quantile(samples: &[f64], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// The checksum of an IP header whose field for it is 0.
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Writes one JSON object a line, with the folder.
pub fn write(path: &Path, figures: &[Figure]) -> Result<(), Error> {
    let doing = || Error::io(format!("write {}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(doing())?;
    }
    let lines: Result<Vec<String>, _> = figures.iter().map(serde_json::to_string).collect();
    let lines = lines.map_err(|error| Error::invalid("figure", error))?;
    fs::write(path, lines.join("\n") + "\n").map_err(doing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_that_were_seen() {
        let samples: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            (quantile(&samples, 0.5), quantile(&samples, 0.99), quantile(&samples, 1.0)),
            (100.0, 198.0, 200.0)
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
