//! The files that AggregateCounter writes.

use std::io::Write as _;
use std::net::Ipv4Addr;

use crate::config::unquote;
use crate::element::Cx;

/// How aggregates and counts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Decimal.
    Text,
    /// Aggregates as IP addresses.
    Addresses,
    /// Counts as parts of the total.
    Parts,
    /// 32 bits each, little end first.
    Binary,
}

/// A banner as a handler is given it: a line, or nothing.
pub(super) fn banner(value: &str) -> Vec<u8> {
    match value {
        "" | "\n" => Vec::new(),
        line if line.ends_with('\n') => line.as_bytes().to_vec(),
        line => format!("{line}\n").into_bytes(),
    }
}

/// The whole file. Counts are cut to 32 bits, as Click's are.
pub(super) fn contents(banner: &[u8], counts: &[(u32, u64)], total: u64, format: Format) -> Vec<u8> {
    let mut out = b"!IPAggregate 1.0\n".to_vec();
    out.extend_from_slice(banner);
    if banner.last().is_some_and(|last| *last != b'\n') {
        out.push(b'\n');
    }
    out.extend(format!("!num_nonzero {}\n", counts.len()).bytes());
    out.extend_from_slice(match format {
        Format::Binary => b"!packed_le\n",
        Format::Addresses => b"!ip\n",
        Format::Text | Format::Parts => b"",
    });
    for &(aggregate, count) in counts {
        match format {
            Format::Text => out.extend(format!("{aggregate} {count}\n").bytes()),
            Format::Addresses => out.extend(format!("{} {count}\n", Ipv4Addr::from(aggregate)).bytes()),
            Format::Parts => {
                let part = count as f64 / total as f64;
                // Twelve digits that count are enough for any use of a share.
                let part = format!("{part:.12}");
                let part = part.trim_end_matches('0').trim_end_matches('.');
                out.extend(format!("{aggregate} {part}\n").bytes());
            }
            Format::Binary => {
                out.extend(aggregate.to_le_bytes());
                out.extend((count as u32).to_le_bytes());
            }
        }
    }
    out
}

/// Writes a file; `-` is standard output.
pub(super) fn write(cx: &Cx<'_>, file: &str, contents: &[u8]) -> Result<(), String> {
    let name = String::from_utf8_lossy(&unquote(file.trim())).into_owned();
    match name.as_str() {
        "" => Err("argument should be filename".to_owned()),
        "-" => {
            let mut out = cx.standard_output();
            out.write_all(contents).and_then(|()| out.flush()).map_err(|error| format!("-: {error}"))
        }
        path => std::fs::write(path, contents).map_err(|error| format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_look_like_click_s() {
        let counts = [(7, 1), (0x0a00_0001, 3)];
        let text = |format| String::from_utf8_lossy(&contents(b"!x", &counts, 4, format)).into_owned();
        assert_eq!(text(Format::Text), "!IPAggregate 1.0\n!x\n!num_nonzero 2\n7 1\n167772161 3\n");
        assert_eq!(
            text(Format::Addresses),
            "!IPAggregate 1.0\n!x\n!num_nonzero 2\n!ip\n0.0.0.7 1\n10.0.0.1 3\n"
        );
        assert!(text(Format::Parts).ends_with("\n7 0.25\n167772161 0.75\n"));
        let binary = contents(b"", &counts, 4, Format::Binary);
        assert!(binary.ends_with(b"!packed_le\n\x07\0\0\0\x01\0\0\0\x01\0\0\x0a\x03\0\0\0"));
        assert_eq!(
            (banner(""), banner("\n"), banner("a"), banner("a\n")),
            (vec![], vec![], b"a\n".to_vec(), b"a\n".to_vec())
        );
    }
}
