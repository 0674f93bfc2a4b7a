//! What a run of moves is judged by: one row for each, the same rows as JSON, and the promise that each has to keep.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::traffic::ledger::Report as ClientReport;

/// The gap that a move must stay under, in milliseconds.
pub const GAP_LIMIT_MS: f64 = 20.0;

/// One move of a sub-function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Its number, from 1.
    pub number: u32,
    /// The sub-function.
    pub sub_function: String,
    /// The node before.
    pub from: String,
    /// The node after.
    pub to: String,
    /// The longest time between two probes at any peer during the move, less the interval of the probes.
    pub gap_ms: f64,
    /// The same over an equally long time just before.
    pub baseline_ms: f64,
    /// Packets lost, by the sequence numbers of the links.
    pub lost: u64,
    /// Packets accepted twice, by the sequence numbers of the links.
    pub duplicated: u64,
    /// Packets accepted out of order, by the sequence numbers of the links.
    pub reordered: u64,
    /// Packets that waited at the target.
    pub parked: u64,
    /// Flows carried over.
    pub flows: u64,
    /// Whether the client's TCP connection survived with the right content.
    pub tcp_ok: bool,
    /// From the request to the end of the migration.
    pub total_ms: f64,
    /// Where the time of the handover went.
    pub breakdown: serde_json::Value,
    /// The client's own counts from the end of the move before to the end of this one.
    pub client: ClientReport,
    /// Why the move did not succeed; empty if it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

impl Move {
    /// What of the promise it broke: 0 lost, 0 duplicated, 0 reordered, TCP unbroken, gap under [`GAP_LIMIT_MS`].
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if !self.failure.is_empty() {
            broken.push(self.failure.clone());
        }
        let client = &self.client;
        let counts = [
            ("lost", self.lost, client.lost),
            ("duplicated", self.duplicated, client.duplicated),
            ("reordered", self.reordered, client.reordered),
            ("corrupted", 0, client.corrupted),
        ];
        for (what, links, client) in counts {
            if links > 0 || client > 0 {
                broken.push(format!("{what}: {links} on links, {client} by the client's count"));
            }
        }
        if !self.tcp_ok {
            let why = client.tcp.as_ref().and_then(|tcp| tcp.error.clone());
            broken.push(format!("TCP broke: {}", why.unwrap_or_else(|| "nothing arrived".into())));
        }
        if self.gap_ms >= GAP_LIMIT_MS {
            broken.push(format!("gap of {:.1} ms, not under {GAP_LIMIT_MS} ms", self.gap_ms));
        }
        broken
    }

    /// Takes over the client's counts.
    pub fn with_client(mut self, client: ClientReport) -> Self {
        self.tcp_ok = client.tcp.as_ref().is_none_or(|tcp| tcp.ok);
        self.client = client;
        self
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// What ran: `demo` or `lab`.
    pub kind: String,
    /// Processors of the machine.
    pub cpus: usize,
    /// Whether something else kept all of them busy.
    pub busy: bool,
    /// The moves in their order.
    pub moves: Vec<Move>,
    /// The client's own counts over the whole run.
    pub client: ClientReport,
    /// Share of one core that the client used, in percent.
    pub client_cpu_percent: f64,
}

impl RunReport {
    /// What of the promise was broken, and where.
    pub fn broken_promises(&self) -> Vec<String> {
        let of_move = |each: &Move| {
            let number = each.number;
            each.broken_promises()
                .into_iter()
                .map(move |what| format!("move {number}: {what}"))
                .collect::<Vec<_>>()
        };
        let mut broken: Vec<String> = self.moves.iter().flat_map(of_move).collect();
        if !self.client.is_perfect() {
            let ClientReport { lost, duplicated, reordered, corrupted, tcp, .. } = &self.client;
            broken.push(format!(
                "whole run, by the client's count: {lost} lost, {duplicated} duplicated, {reordered} reordered, \
                 {corrupted} corrupted, TCP {}",
                tcp.as_ref().map_or("not used", |tcp| if tcp.ok { "unbroken" } else { "broken" })
            ));
        }
        broken
    }

    /// Writes it as JSON, with the folder.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let doing = || Error::io(format!("write {}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(doing())?;
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::invalid("report", error))?;
        fs::write(path, text + "\n").map_err(doing())
    }

    /// The last lines for a person.
    pub fn summary(&self) -> String {
        let mut gaps: Vec<f64> = self.moves.iter().map(|each| each.gap_ms).collect();
        gaps.sort_by(f64::total_cmp);
        let mut text = String::new();
        if let (Some(median), Some(longest)) = (gaps.get(gaps.len() / 2), gaps.last()) {
            let _ = writeln!(
                text,
                "gap      median {median:.2} ms, longest {longest:.2} ms over {} moves",
                gaps.len()
            );
        }
        let client = &self.client;
        let _ = writeln!(
            text,
            "client   {} flows, {} packets sent, {} lost, {} duplicated, {} reordered; {:.0} % of a core",
            client.flows,
            client.sent,
            client.lost,
            client.duplicated,
            client.reordered,
            self.client_cpu_percent
        );
        if let Some(tcp) = &client.tcp {
            let state = if tcp.ok { "unbroken, every byte right" } else { "BROKEN" };
            let _ = writeln!(text, "tcp      {} bytes, {state}", tcp.bytes);
        }
        text
    }
}

/// The head of the table.
pub fn table_head() -> String {
    format!(
        "{:>4}  {:<18} {:<18} {:>7} {:>8}  {:>4} {:>4} {:>6}  {:>6} {:>6}  | {:>4} {:>4} {:>6} {:>7}  {:<6} {:>8}",
        "move",
        "from",
        "to",
        "gap/ms",
        "base/ms",
        "lost",
        "dup",
        "reord",
        "parked",
        "flows",
        "lost",
        "dup",
        "reord",
        "gap/ms",
        "tcp",
        "total/ms"
    )
}

/// A row of the table: what the peers measured, then what the client counted.
pub fn table_row(each: &Move) -> String {
    format!(
        "{:>4}  {:<18} {:<18} {:>7.2} {:>8.2}  {:>4} {:>4} {:>6}  {:>6} {:>6}  | {:>4} {:>4} {:>6} {:>7.2}  {:<6} {:>8.0}{}",
        each.number,
        each.from,
        each.to,
        each.gap_ms,
        each.baseline_ms,
        each.lost,
        each.duplicated,
        each.reordered,
        each.parked,
        each.flows,
        each.client.lost,
        each.client.duplicated,
        each.client.reordered,
        each.client.longest_gap_ms,
        if each.tcp_ok { "ok" } else { "BROKEN" },
        each.total_ms,
        if each.failure.is_empty() { String::new() } else { format!("  {}", each.failure) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::download::DownloadReport;

    fn good() -> Move {
        let tcp = DownloadReport { ok: true, bytes: 1, ..DownloadReport::default() };
        Move { number: 1, gap_ms: 0.8, ..Move::default() }
            .with_client(ClientReport { tcp: Some(tcp), ..ClientReport::default() })
    }

    #[test]
    fn a_good_move_keeps_the_promise() {
        assert_eq!(good().broken_promises(), Vec::<String>::new());
    }

    #[test]
    fn what_either_side_counts_breaks_the_promise() {
        let by_links = Move { lost: 1, ..good() };
        let mut by_client = good();
        by_client.client.reordered = 2;
        assert_eq!(by_links.broken_promises(), ["lost: 1 on links, 0 by the client's count"]);
        assert_eq!(by_client.broken_promises(), ["reordered: 0 on links, 2 by the client's count"]);
    }

    #[test]
    fn a_long_gap_and_a_broken_connection_break_the_promise() {
        let mut each = Move { gap_ms: GAP_LIMIT_MS, ..good() };
        let tcp = DownloadReport { error: Some("byte 7 is wrong".into()), ..DownloadReport::default() };
        each = each.with_client(ClientReport { tcp: Some(tcp), ..ClientReport::default() });
        assert_eq!(each.broken_promises(), ["TCP broke: byte 7 is wrong", "gap of 20.0 ms, not under 20 ms"]);
    }

    #[test]
    fn head_and_rows_have_the_same_columns() {
        let width = |line: &str| line.find('|');
        assert_eq!(width(&table_head()), width(&table_row(&good())));
    }
}
