//! One long TCP download at a steady rate whose every byte the receiver can compute.
//!
//! The content is a function of a seed and the position, so a missing, repeated or altered byte is noticed at once and
//! nothing has to be stored. The client asks with 24 bytes: a magic word, the seed, and the rate.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Error;

const MAGIC: &[u8; 8] = b"ANFTCP01";
const REQUEST_BYTES: usize = 24;
const BLOCK_BYTES: usize = 64 << 10;
const MAX_BYTES_PER_SECOND: u64 = 10 << 30;
const PACE: Duration = Duration::from_millis(5);
/// A connection on which nothing arrives for so long counts as broken.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// Writes the content from `offset` on.
pub fn fill(seed: u64, offset: u64, content: &mut [u8]) {
    let mut at = 0;
    while at < content.len() {
        let position = offset + at as u64;
        let word = mix(seed.wrapping_add(position / 8)).to_le_bytes();
        let piece = &word[(position % 8) as usize..];
        let length = piece.len().min(content.len() - at);
        content[at..at + length].copy_from_slice(&piece[..length]);
        at += length;
    }
}

/// SplitMix64's output function.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Serves one connection until the client closes it.
pub fn serve(mut connection: TcpStream) -> io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    connection.read_exact(&mut request)?;
    let (seed, rate) = read_request(&request).ok_or(ErrorKind::InvalidData)?;
    connection.set_nodelay(true)?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut sent, started) = (0, Instant::now());
    loop {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due {
            let length = (due - sent).min(BLOCK_BYTES as u64) as usize;
            fill(seed, sent, &mut block[..length]);
            if let Err(error) = connection.write_all(&block[..length]) {
                return if is_hang_up(&error) { Ok(()) } else { Err(error) };
            }
            sent += length as u64;
        }
        thread::sleep(PACE);
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn read_request(request: &[u8; REQUEST_BYTES]) -> Option<(u64, u64)> {
    let (magic, rest) = request.split_first_chunk::<8>()?;
    let (seed, rest) = rest.split_first_chunk::<8>()?;
    let rate = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    (magic == MAGIC && (1..=MAX_BYTES_PER_SECOND).contains(&rate))
        .then_some((u64::from_be_bytes(*seed), rate))
}

/// What the download did in an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DownloadReport {
    /// The connection stands, every byte was right, and bytes arrived.
    pub ok: bool,
    /// Bytes that arrived.
    pub bytes: u64,
    /// The longest time without a byte, in milliseconds.
    pub longest_stall_ms: f64,
    /// Why it broke.
    pub error: Option<String>,
}

/// A download under way on a thread of its own.
pub struct Download {
    shared: Arc<Shared>,
    started: Instant,
    reported_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    last_arrival_ns: AtomicU64,
    longest_stall_ns: AtomicU64,
    stop: AtomicBool,
    error: Mutex<Option<String>>,
}

impl Download {
    /// Connects and starts receiving.
    pub fn start(
        server: SocketAddr,
        seed: u64,
        bytes_per_second: u64,
        patience: Duration,
    ) -> Result<Self, Error> {
        let doing = || format!("download from {server}");
        let mut connection = TcpStream::connect_timeout(&server, patience).map_err(Error::io(doing()))?;
        let mut request = MAGIC.to_vec();
        request.extend_from_slice(&seed.to_be_bytes());
        request.extend_from_slice(&bytes_per_second.to_be_bytes());
        connection.write_all(&request).map_err(Error::io(doing()))?;
        connection.set_read_timeout(Some(Duration::from_millis(500))).map_err(Error::io(doing()))?;
        let (shared, started) = (Arc::new(Shared::default()), Instant::now());
        let receiver = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if let Err(problem) = receive(connection, seed, started, &receiver) {
                *receiver.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
            }
        });
        Ok(Self { shared, started, reported_bytes: 0, thread: Some(thread) })
    }

    /// The interval since the last report; starts the next.
    pub fn report(&mut self) -> DownloadReport {
        let bytes = self.shared.bytes.load(Ordering::Relaxed);
        let now = self.started.elapsed().as_nanos() as u64;
        let open = now.saturating_sub(self.shared.last_arrival_ns.load(Ordering::Relaxed));
        let stall = self.shared.longest_stall_ns.swap(0, Ordering::Relaxed).max(open);
        let error = self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let new_bytes = bytes - std::mem::replace(&mut self.reported_bytes, bytes);
        DownloadReport {
            ok: error.is_none() && new_bytes > 0,
            bytes: new_bytes,
            longest_stall_ms: stall as f64 / 1e6,
            error,
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread reports through `shared`; it has nothing to say here.
            let _ = thread.join();
        }
    }
}

fn receive(mut connection: TcpStream, seed: u64, started: Instant, shared: &Shared) -> Result<(), String> {
    let (mut content, mut wanted) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut offset = 0;
    let mut last_arrival = started.elapsed();
    while !shared.stop.load(Ordering::Relaxed) {
        let length = match connection.read(&mut content) {
            Ok(0) => return Err(format!("the server closed the connection after {offset} bytes")),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(error) => return Err(format!("after {offset} bytes: {error}")),
        };
        let now = started.elapsed();
        let silence = now - last_arrival;
        shared.longest_stall_ns.fetch_max(silence.as_nanos() as u64, Ordering::Relaxed);
        if length == 0 {
            if silence > SILENCE_LIMIT {
                return Err(format!("nothing arrived for {} s after {offset} bytes", silence.as_secs()));
            }
            continue;
        }
        fill(seed, offset, &mut wanted[..length]);
        if let Some(at) = content[..length].iter().zip(&wanted).position(|(is, want)| is != want) {
            return Err(format!("byte {} is wrong", offset + at as u64));
        }
        offset += length as u64;
        last_arrival = now;
        shared.bytes.store(offset, Ordering::Relaxed);
        shared.last_arrival_ns.store(now.as_nanos() as u64, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_content_does_not_depend_on_how_it_is_cut_into_pieces() {
        let mut whole = [0; 1000];
        fill(42, 5, &mut whole);
        let mut pieces = [0; 1000];
        for (from, to) in [(0, 3), (3, 11), (11, 500), (500, 1000)] {
            fill(42, 5 + from as u64, &mut pieces[from..to]);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn a_download_arrives_whole_at_about_the_asked_rate() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0));
        let mut download = Download::start(address, 1, 2_000_000, Duration::from_secs(1)).unwrap();
        thread::sleep(Duration::from_millis(300));
        let report = download.report();
        assert!(report.ok, "{report:?}");
        assert!((100_000..2_000_000).contains(&report.bytes), "{report:?}");
    }

    #[test]
    fn a_wrong_byte_breaks_the_download() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let mut connection = listener.accept().unwrap().0;
            let mut content = [0; 100];
            fill(1, 0, &mut content);
            content[60] ^= 4;
            connection.write_all(&content).unwrap();
            connection
        });
        let mut download = Download::start(address, 1, 1000, Duration::from_secs(1)).unwrap();
        let _connection = server.join().unwrap();
        thread::sleep(Duration::from_millis(200));
        let report = download.report();
        assert_eq!(report.error.as_deref(), Some("byte 60 is wrong"));
        assert!(!report.ok);
    }

    #[test]
    fn a_request_with_a_foreign_word_or_a_rate_of_zero_is_refused() {
        let mut request = [0; REQUEST_BYTES];
        assert_eq!(read_request(&request), None);
        request[..8].copy_from_slice(MAGIC);
        assert_eq!(read_request(&request), None);
        request[23] = 9;
        assert_eq!(read_request(&request), Some((0, 9)));
    }
}
