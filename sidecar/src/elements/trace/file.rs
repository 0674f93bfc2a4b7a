//! Files that sources read: plain or compressed, standard input, or text of the configuration. They are read in order,
//! through one buffer, by lines or by counted bytes; a position in them can be saved and found again.
//!
//! A file is untrusted: no line and no record longer than the buffer is believed.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

/// The longest line or record.
pub(super) const LONGEST: usize = 1 << 20;
const GZIP: &[u8] = &[0x1f, 0x8b];
const COMPRESS: &[u8] = &[0x1f, 0x9d];

enum Input {
    File(File),
    Data(Cursor<Vec<u8>>),
    /// What can only be read on: standard input, or what comes out of a compressed file.
    Stream(Box<dyn Read + Send>),
    Closed,
}

impl Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::File(file) => file.read(into),
                Self::Data(data) => data.read(into),
                Self::Stream(stream) => stream.read(into),
                Self::Closed => Ok(0),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// A file that is read from its start to its end.
pub(super) struct FileSource {
    /// As it is shown.
    name: String,
    input: Input,
    buffer: Vec<u8>,
    /// What is in the buffer and not read yet.
    from: usize,
    to: usize,
    /// Where in the (uncompressed) file the next byte comes from.
    position: u64,
    /// Lines or records read.
    pub(super) line: u32,
}

/// The name of a file as Click prints it.
pub(super) fn shown_name(name: &str) -> &str {
    if name == "-" { "<stdin>" } else { name }
}

/// An error of the system in its own words, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// What reads the file, uncompressed. `start` is its first bytes.
fn unpacked(file: File, start: &[u8]) -> Result<Input, String> {
    if start.starts_with(GZIP) {
        return Ok(Input::Stream(Box::new(flate2::read::MultiGzDecoder::new(file))));
    }
    if start.starts_with(COMPRESS) {
        return Err("files of compress(1) are not read; use gzip(1)".to_owned());
    }
    match start {
        [b'B', b'Z', b'h', b'0'..=b'9', 0x17, ..]
        | [b'B', b'Z', b'h', b'0'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => {
            Ok(Input::Stream(Box::new(bzip2::read::MultiBzDecoder::new(file))))
        }
        _ => Ok(Input::File(file)),
    }
}

fn open(name: &str) -> Result<Input, String> {
    if name == "-" {
        return Ok(Input::Stream(Box::new(io::stdin())));
    }
    let mut file = File::open(name).map_err(|error| reason(&error))?;
    let mut start = [0; 10];
    let mut known = 0;
    // What cannot be read twice, as a pipe, is not looked at.
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        while known < start.len() {
            match file.read(&mut start[known..]).map_err(|error| reason(&error))? {
                0 => break,
                read => known += read,
            }
        }
        file.rewind().map_err(|error| reason(&error))?;
    }
    unpacked(file, &start[..known])
}

impl FileSource {
    fn new(name: &str, input: Input) -> Self {
        let buffer = vec![0; LONGEST];
        Self { name: name.to_owned(), input, buffer, from: 0, to: 0, position: 0, line: 0 }
    }

    /// Opens `name`, `-` for standard input. The error is a phrase behind the name.
    pub(super) fn open(name: &str) -> Result<Self, String> {
        Ok(Self::new(name, open(name)?))
    }

    /// A file that is not there: nothing comes out of it.
    pub(super) fn nothing(name: &str) -> Self {
        Self { buffer: Vec::new(), ..Self::new(name, Input::Closed) }
    }

    /// The text of a configuration as a file.
    pub(super) fn of_data(data: Vec<u8>) -> Self {
        Self::new("<data>", Input::Data(Cursor::new(data)))
    }

    /// The name as it is shown.
    pub(super) fn name(&self) -> &str {
        shown_name(&self.name)
    }

    /// Where in the uncompressed file the next byte comes from.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The size of the file; `-` if that cannot be known.
    pub(super) fn size(&self) -> String {
        let metadata = match &self.input {
            Input::File(file) => file.metadata().ok().filter(std::fs::Metadata::is_file),
            _ => None,
        };
        metadata.map_or_else(|| "-".to_owned(), |metadata| metadata.len().to_string())
    }

    /// Nothing more is read.
    pub(super) fn close(&mut self) {
        self.input = Input::Closed;
        (self.from, self.to) = (0, 0);
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.input, Input::Closed) && self.from == self.to
    }

    /// Makes at least `count` bytes available; `false` at the end of the file.
    #[inline]
    pub(super) fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.to - self.from >= count { Ok(true) } else { self.fill_slowly(count) }
    }

    #[cold]
    fn fill_slowly(&mut self, count: usize) -> io::Result<bool> {
        if count > self.buffer.len() {
            return Ok(false);
        }
        while self.to - self.from < count {
            if !self.more()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads on, behind what was not read yet; `false` at the end of the file or when the buffer is full.
    fn more(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let read = self.input.read(&mut self.buffer[self.to..])?;
        self.to += read;
        Ok(read > 0)
    }

    /// The next `count` bytes, which [`FileSource::fill`] made available.
    #[inline]
    pub(super) fn bytes(&self, count: usize) -> &[u8] {
        &self.buffer[self.from..self.from + count.min(self.to - self.from)]
    }

    /// What [`FileSource::line`] or [`FileSource::take`] found last.
    pub(super) fn at(&self, range: &Range<usize>) -> &[u8] {
        self.buffer.get(range.clone()).unwrap_or(&[])
    }

    /// Goes over `count` bytes; they stay in the buffer until more is read.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Range<usize> {
        let start = self.from;
        self.from = (start + count).min(self.to);
        self.position += (self.from - start) as u64;
        start..self.from
    }

    /// The next line, its end included; `None` at the end of the file.
    pub(super) fn line(&mut self) -> io::Result<Option<Range<usize>>> {
        let mut seen = 0;
        loop {
            let unread = &self.buffer[self.from..self.to];
            if let Some(at) = unread[seen..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let mut end = seen + at + 1;
                if unread[end - 1] == b'\r' {
                    // A newline that belongs to it may not be read yet.
                    if end == unread.len() && self.more()? {
                        seen = end - 1;
                        continue;
                    }
                    end += usize::from(self.buffer[self.from..self.to].get(end) == Some(&b'\n'));
                }
                self.line += 1;
                return Ok(Some(self.take(end)));
            }
            seen = unread.len();
            if seen > 0 && seen == self.buffer.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"));
            }
            if !self.more()? {
                self.line += u32::from(seen > 0);
                return Ok((seen > 0).then(|| self.take(seen)));
            }
        }
    }

    /// Makes `position` the place of the next byte.
    pub(super) fn seek(&mut self, position: u64) -> Result<(), String> {
        let back = self.position.checked_sub(position);
        if back.is_some_and(|back| back <= self.from as u64) {
            self.from -= (self.position - position) as usize;
        } else {
            self.seek_far(position)?;
        }
        self.position = position;
        Ok(())
    }

    fn seek_far(&mut self, position: u64) -> Result<(), String> {
        let wrong = |error: io::Error| reason(&error);
        match &mut self.input {
            Input::File(file) => {
                let metadata = file.metadata().map_err(wrong)?;
                if metadata.is_file() && position > metadata.len() {
                    return Err("FILEPOS out of range".to_owned());
                }
                file.seek(SeekFrom::Start(position)).map_err(wrong)?;
                (self.from, self.to) = (0, 0);
                return Ok(());
            }
            Input::Data(data) => {
                data.set_position(position);
                (self.from, self.to) = (0, 0);
                return Ok(());
            }
            Input::Closed => return Err("file is closed".to_owned()),
            Input::Stream(_) if position >= self.position => {}
            Input::Stream(_) if self.name == "-" => return Err("cannot go back in <stdin>".to_owned()),
            Input::Stream(_) => {
                self.input = open(&self.name)?;
                (self.from, self.to, self.position) = (0, 0, 0);
            }
        }
        while self.position < position {
            if !self.fill(1).map_err(wrong)? {
                return Err("FILEPOS out of range".to_owned());
            }
            let missing = position - self.position;
            self.take(usize::try_from(missing).unwrap_or(usize::MAX).min(self.to - self.from));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(file: &mut FileSource) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| file.line().unwrap().map(|range| file.at(&range).to_vec())).collect()
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        let mut file = FileSource::of_data(b"a\nb\r\nc\rd\n\ne".to_vec());
        assert_eq!(lines(&mut file), [&b"a\n"[..], b"b\r\n", b"c\r", b"d\n", b"\n", b"e"]);
        assert_eq!((file.line, file.position()), (6, 11));
    }

    #[test]
    fn a_line_without_end_is_an_error_and_takes_no_more_memory() {
        let mut file = FileSource::of_data(vec![b'x'; LONGEST + 5]);
        assert_eq!(file.line().unwrap_err().to_string(), "line too long");
        assert_eq!(file.buffer.len(), LONGEST);
    }

    #[test]
    fn lines_that_lie_across_the_end_of_the_buffer_are_whole() {
        let text: Vec<u8> = (0..300_000).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
        let mut file = FileSource::of_data(text.clone());
        let found = lines(&mut file);
        assert_eq!((found.len(), found.concat()), (300_000, text));
    }

    #[test]
    fn compressed_files_are_read_and_their_positions_found_again() {
        let text = b"first\nsecond\nthird\n".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip.write_all(&text).unwrap();
        for (kind, bytes) in [("gz", gzip.finish().unwrap()), ("bz2", bzip.finish().unwrap()), ("txt", text)]
        {
            let name = std::env::temp_dir().join(format!("anf-{}-file.{kind}", std::process::id()));
            std::fs::write(&name, bytes).unwrap();
            let mut file = FileSource::open(name.to_str().unwrap()).unwrap();
            assert_eq!(lines(&mut file).len(), 300);
            file.seek(6).unwrap();
            let range = file.line().unwrap().unwrap();
            assert_eq!(file.at(&range), b"second\n");
            let mut again = FileSource::open(name.to_str().unwrap()).unwrap();
            again.seek(13).unwrap();
            let range = again.line().unwrap().unwrap();
            assert_eq!((again.at(&range), again.position()), (&b"third\n"[..], 19));
            assert!(again.seek(1 << 40).is_err());
            std::fs::remove_file(name).unwrap();
        }
    }

    #[test]
    fn errors_are_told_without_numbers() {
        assert_eq!(FileSource::open("/no/such").err().unwrap(), "No such file or directory");
    }
}
