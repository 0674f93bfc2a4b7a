//! The ControlSocket protocol, version 1.3: what one client says and is answered. Pure: bytes in, bytes out.
//!
//! Whatever a client sends, what is kept of it is bounded, and a command is obeyed once it is there whole.

use crate::element::HandlerError;
use crate::engine::Access;

const GREETING: &[u8] = b"Click::ControlSocket/1.3\r\n";
/// Longest command line.
const MAX_LINE: usize = 64 << 10;
/// Most data of one command.
const MAX_DATA: usize = 1 << 20;

const OK: u16 = 200;
const SYNTAX: u16 = 500;
const UNIMPLEMENTED: u16 = 501;
const NO_ELEMENT: u16 = 510;
const NO_HANDLER: u16 = 511;
const HANDLER_ERROR: u16 = 520;
const TOO_BIG: u16 = 521;
const PERMISSION: u16 = 530;
const UNSPECIFIED: u16 = 590;

const HELP: &[&str] = &[
    "Commands supported:",
    "READ handler [arg...]   call read handler, return DATA",
    "READDATA handler len    call read handler with len data bytes, return DATA",
    "READUNTIL handler term  call read handler, take data until term, return DATA",
    "WRITE handler [arg...]  call write handler",
    "WRITEDATA handler len   call write handler, pass len data bytes",
    "WRITEUNTIL handler term call write handler, take data until term",
    "CHECKREAD handler       check if read handler is valid",
    "CHECKWRITE handler      check if write handler is valid",
    "QUIT                    close connection",
];

/// The handlers that clients may call.
pub(super) trait Handlers {
    fn access(&mut self, path: &str) -> Result<Access, HandlerError>;
    fn read(&mut self, path: &str, param: &str) -> Result<String, HandlerError>;
    fn write(&mut self, path: &str, value: &str) -> Result<(), HandlerError>;
}

/// The data that a command wants beyond its line.
enum Wanted<'a> {
    /// The rest of the line.
    Line(&'a str),
    /// So many bytes.
    Bytes(usize),
    /// Lines up to one that is this.
    Until(&'a str),
}

/// How a look for a command's data ended.
enum Taken {
    /// It is there, and takes so many bytes.
    All(String, usize),
    /// The client has not sent all of it.
    NotYet,
}

/// One client.
#[derive(Debug)]
pub(super) struct Conversation {
    input: Vec<u8>,
    output: Vec<u8>,
    /// The last line ended with a carriage return; a line feed that comes next belongs to it.
    after_return: bool,
    read_only: bool,
    ended: bool,
}

impl Conversation {
    /// Begins with the greeting.
    pub(super) fn new(read_only: bool) -> Self {
        let output = GREETING.to_vec();
        Self { input: Vec::new(), output, after_return: false, read_only, ended: false }
    }

    /// What is to be sent; the sender takes away what it has sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Whether nothing more is read: the connection ends once the output is sent.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Obeys all commands that are there with these bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], handlers: &mut impl Handlers) {
        if self.ended {
            return;
        }
        self.input.extend_from_slice(bytes);
        while !self.ended && self.one_command(handlers, false) {}
    }

    /// The client sends nothing more: the last line may lack its end.
    pub(super) fn end_of_input(&mut self, handlers: &mut impl Handlers) {
        while !self.ended && self.one_command(handlers, true) {}
        self.ended = true;
    }

    /// Obeys the first command, if it is there; tells whether there may be another.
    fn one_command(&mut self, handlers: &mut impl Handlers, closed: bool) -> bool {
        if self.after_return && self.input.first() == Some(&b'\n') {
            self.input.remove(0);
        }
        self.after_return &= self.input.is_empty();
        let end = self.input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (length, used) = match end {
            Some(end) => (end, end + line_end(&self.input[end..])),
            None if closed && !self.input.is_empty() => (self.input.len(), self.input.len()),
            None if self.input.len() > MAX_LINE => return self.refuse("Line too long"),
            None => return false,
        };
        let line = String::from_utf8_lossy(&self.input[..length]).into_owned();
        let Some(data) = self.obey(&line, used, handlers, closed) else { return false };
        self.after_return = self.input[..used + data].ends_with(b"\r");
        self.input.drain(..used + data);
        true
    }

    /// A client that cannot be understood any more.
    fn refuse(&mut self, text: &str) -> bool {
        self.say(SYNTAX, text);
        self.ended = true;
        false
    }

    fn say(&mut self, code: u16, text: &str) {
        self.line(code, ' ', text);
    }

    fn line(&mut self, code: u16, separator: char, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.output.extend_from_slice(format!("{code}{separator}{text}\r\n").as_bytes());
    }

    /// A text with what a handler said below it.
    fn say_with(&mut self, code: u16, text: &str, detail: &str) {
        self.line(code, '-', &format!("{text}:"));
        let lines: Vec<&str> = detail.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            self.line(code, if at + 1 == lines.len() { ' ' } else { '-' }, line);
        }
    }

    /// Obeys a command; answers how many bytes of data it took, or `None` to wait for more of them.
    fn obey(&mut self, line: &str, used: usize, handlers: &mut impl Handlers, closed: bool) -> Option<usize> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(command) = words.first().map(|word| word.to_ascii_uppercase()) else { return Some(0) };
        let (count, handler) = (words.len(), words.get(1).copied().unwrap_or_default());
        let wanted = match (command.as_str(), count) {
            ("READ" | "GET" | "WRITE" | "SET", 2..) => Wanted::Line(rest(line, 2)),
            ("READUNTIL" | "WRITEUNTIL", 2..) => Wanted::Until(rest(line, 2)),
            ("READDATA" | "WRITEDATA" | "SETDATA", 3) => match words[2].parse() {
                Ok(length) => Wanted::Bytes(length),
                Err(_) => return self.done(SYNTAX, &format!("Syntax error in '{command}'")),
            },
            ("CHECKREAD" | "CHECKWRITE", 2) => {
                self.check(handler, command == "CHECKWRITE", handlers);
                return Some(0);
            }
            ("CLOSE" | "QUIT", _) => {
                if count != 1 {
                    self.say(SYNTAX, "Bad command syntax");
                }
                self.ended = true;
                return self.done(OK, "Goodbye!");
            }
            ("HELP", _) => {
                for (at, text) in HELP.iter().enumerate() {
                    self.line(OK, if at + 1 == HELP.len() { ' ' } else { '-' }, text);
                }
                return Some(0);
            }
            (
                "READ" | "GET" | "WRITE" | "SET" | "READUNTIL" | "WRITEUNTIL" | "READDATA" | "WRITEDATA"
                | "SETDATA" | "CHECKREAD" | "CHECKWRITE",
                _,
            ) => return self.done(SYNTAX, "Wrong number of arguments"),
            _ => return self.done(UNIMPLEMENTED, &format!("Command '{command}' unimplemented")),
        };
        let too_big = matches!(wanted, Wanted::Bytes(length) if length > MAX_DATA)
            || self.input.len() - used > MAX_DATA + MAX_LINE;
        match take(&self.input[used..], &wanted) {
            Taken::All(data, taken) => {
                if matches!(command.as_bytes()[0], b'R' | b'G') {
                    self.read(handler, &data, handlers);
                } else {
                    self.write(handler, &data, handlers);
                }
                Some(taken)
            }
            Taken::NotYet if too_big => {
                self.ended = true;
                self.done(TOO_BIG, &format!("Data too large for handler '{handler}'"))
            }
            Taken::NotYet if closed => {
                self.ended = true;
                self.done(SYNTAX, "Not enough data")
            }
            Taken::NotYet => None,
        }
    }

    /// Says it; the command took no data.
    fn done(&mut self, code: u16, text: &str) -> Option<usize> {
        self.say(code, text);
        Some(0)
    }

    /// What a handler allows; a client is told if it is not there.
    fn find(&mut self, handler: &str, handlers: &mut impl Handlers) -> Option<Access> {
        match handlers.access(handler) {
            Ok(access) => Some(access),
            Err(HandlerError::NoElement(name)) => {
                self.say(NO_ELEMENT, &format!("No element named '{name}'"));
                None
            }
            Err(_) => {
                self.say(NO_HANDLER, &format!("No handler named '{handler}'"));
                None
            }
        }
    }

    fn check(&mut self, handler: &str, write: bool, handlers: &mut impl Handlers) {
        let Some(access) = self.find(handler, handlers) else { return };
        let (allowed, kind, able) = match write {
            true => (access.writable, "Write", "writable"),
            false => (access.readable, "Read", "readable"),
        };
        if write && allowed && self.read_only {
            self.say(PERMISSION, &format!("Permission denied for '{handler}'"));
        } else if allowed {
            self.say(OK, &format!("{kind} handler '{handler}' OK"));
        } else {
            self.say(NO_HANDLER, &format!("Handler '{handler}' not {able}"));
        }
    }

    fn read(&mut self, handler: &str, param: &str, handlers: &mut impl Handlers) {
        let Some(access) = self.find(handler, handlers) else { return };
        if !access.readable {
            return self.say(PERMISSION, &format!("Handler '{handler}' write-only"));
        }
        match handlers.read(handler, param) {
            Ok(data) => {
                self.say(OK, &format!("Read handler '{handler}' OK"));
                self.output.extend_from_slice(format!("DATA {}\r\n{data}", data.len()).as_bytes());
            }
            Err(error) => {
                let text = format!("Read handler '{handler}' error");
                self.say_with(UNSPECIFIED, &text, &error.to_string());
            }
        }
    }

    fn write(&mut self, handler: &str, value: &str, handlers: &mut impl Handlers) {
        let Some(access) = self.find(handler, handlers) else { return };
        if !access.writable {
            return self.say(PERMISSION, &format!("Handler '{handler}' read-only"));
        }
        if self.read_only {
            return self.say(PERMISSION, &format!("Permission denied for '{handler}'"));
        }
        match handlers.write(handler, value) {
            Ok(()) => self.say(OK, &format!("Write handler '{handler}' OK")),
            Err(error) => {
                let text = format!("Write handler '{handler}' error");
                self.say_with(HANDLER_ERROR, &text, &error.to_string());
            }
        }
    }
}

/// Length of the line end at the start of `bytes`.
fn line_end(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 1 }
}

/// The line behind its first `count` words.
fn rest(line: &str, count: usize) -> &str {
    let mut rest = line.trim();
    for _ in 0..count {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

/// A command's data, at the start of `bytes`.
fn take(bytes: &[u8], wanted: &Wanted<'_>) -> Taken {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match *wanted {
        Wanted::Line(data) => Taken::All(data.to_owned(), 0),
        Wanted::Bytes(length) => {
            bytes.get(..length).map_or(Taken::NotYet, |data| Taken::All(text(data), length))
        }
        Wanted::Until(end) => {
            let mut at = 0;
            while let Some(length) = bytes[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                let next = at + length + line_end(&bytes[at + length..]);
                if bytes[at..at + length].trim_ascii_end() == end.as_bytes() {
                    return Taken::All(text(&bytes[..at]), next);
                }
                at = next;
            }
            Taken::NotYet
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An element `q` with a length to read, a capacity to read and write, and an order.
    #[derive(Default)]
    struct Queue {
        capacity: String,
    }

    impl Handlers for Queue {
        fn access(&mut self, path: &str) -> Result<Access, HandlerError> {
            match path.split_once('.') {
                Some(("q", "length")) => Ok(Access { readable: true, writable: false }),
                Some(("q", "capacity")) => Ok(Access { readable: true, writable: true }),
                Some(("q", "reset")) => Ok(Access { readable: false, writable: true }),
                Some(("q", _)) => Err(HandlerError::NoHandler(path.into())),
                _ => Err(HandlerError::NoElement(path.split('.').next().unwrap_or_default().into())),
            }
        }

        fn read(&mut self, path: &str, param: &str) -> Result<String, HandlerError> {
            match path {
                "q.capacity" => Ok(self.capacity.clone()),
                _ if param.is_empty() => Ok("3\n".into()),
                _ => Err(HandlerError::Refused(format!("what is {param}?\nnothing"))),
            }
        }

        fn write(&mut self, path: &str, value: &str) -> Result<(), HandlerError> {
            if path == "q.capacity" && value == "no" {
                return Err(HandlerError::Refused("expected a number".into()));
            }
            self.capacity = value.into();
            Ok(())
        }
    }

    fn talk(pieces: &[&str]) -> String {
        let (mut client, mut queue) = (Conversation::new(false), Queue::default());
        pieces.iter().for_each(|piece| client.receive(piece.as_bytes(), &mut queue));
        client.end_of_input(&mut queue);
        let text = String::from_utf8(std::mem::take(client.output())).unwrap();
        text.strip_prefix("Click::ControlSocket/1.3\r\n").unwrap().to_owned()
    }

    #[test]
    fn handlers_are_read_written_and_checked() {
        assert_eq!(talk(&["READ q.length\r\n"]), "200 Read handler 'q.length' OK\r\nDATA 2\r\n3\n");
        assert_eq!(
            talk(&["write q.capacity  7 8 \nread q.capacity\n"]),
            "200 Write handler 'q.capacity' OK\r\n200 Read handler 'q.capacity' OK\r\nDATA 3\r\n7 8"
        );
        assert_eq!(
            talk(&["CHECKREAD q.length\nCHECKWRITE q.length\n"]),
            "200 Read handler 'q.length' OK\r\n511 Handler 'q.length' not writable\r\n"
        );
        assert_eq!(talk(&["QUIT\nREAD q.length\n"]), "200 Goodbye!\r\n");
    }

    #[test]
    fn data_of_a_command_may_come_in_pieces_and_hold_line_ends() {
        let said =
            "200 Write handler 'q.capacity' OK\r\n200 Read handler 'q.capacity' OK\r\nDATA 4\r\na\r\nb";
        assert_eq!(talk(&["WRITEDATA q.capa", "city 4\r", "\na\r", "\nbREAD q.capacity\n"]), said);
        assert_eq!(
            talk(&["WRITEUNTIL q.capacity END\na\r\nb", "END\nEND \n", "READ q.capacity\n"]).lines().count(),
            5
        );
        assert_eq!(talk(&["WRITEDATA q.capacity 9\nabc"]), "500 Not enough data\r\n");
    }

    #[test]
    fn what_cannot_be_done_is_said_with_its_code() {
        assert_eq!(talk(&["READ x.y\n"]), "510 No element named 'x'\r\n");
        assert_eq!(talk(&["READ q.y\n"]), "511 No handler named 'q.y'\r\n");
        assert_eq!(talk(&["READ q.reset\n"]), "530 Handler 'q.reset' write-only\r\n");
        assert_eq!(talk(&["WRITE q.length 1\n"]), "530 Handler 'q.length' read-only\r\n");
        assert_eq!(
            talk(&["WRITE q.capacity no\n"]),
            "520-Write handler 'q.capacity' error:\r\n520 expected a number\r\n"
        );
        assert_eq!(
            talk(&["READ q.length z\n"]),
            "590-Read handler 'q.length' error:\r\n590-what is z?\r\n590 nothing\r\n"
        );
        assert_eq!(
            talk(&["READ\nFROB\n"]),
            "500 Wrong number of arguments\r\n501 Command 'FROB' unimplemented\r\n"
        );
        assert_eq!(
            talk(&["WRITEDATA q.capacity 99999999\n"]),
            "521 Data too large for handler 'q.capacity'\r\n"
        );
    }

    #[test]
    fn who_may_only_read_writes_nothing() {
        let (mut client, mut queue) = (Conversation::new(true), Queue::default());
        client.receive(b"WRITE q.capacity 1\nCHECKWRITE q.capacity\n", &mut queue);
        let text = String::from_utf8_lossy(client.output()).into_owned();
        assert_eq!(text.matches("530 Permission denied for 'q.capacity'").count(), 2, "{text}");
        assert_eq!(queue.capacity, "");
    }

    #[test]
    fn a_client_without_line_ends_is_let_go() {
        let (mut client, mut queue) = (Conversation::new(false), Queue::default());
        for _ in 0..1000 {
            client.receive(&[b'x'; 1000], &mut queue);
            assert!(client.input.len() <= MAX_LINE + 1000);
        }
        assert!(client.has_ended());
    }

    proptest! {
        #[test]
        fn no_bytes_in_no_pieces_make_it_panic_or_answer_differently(
            bytes in prop::collection::vec(prop_oneof![
                Just(b"WRITEDATA q.capacity 3\r\n".to_vec()), Just(b"READUNTIL q.length E\n".to_vec()), Just(b"E\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..8)
            ], 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = bytes.concat();
            let said = |pieces: &[&[u8]]| {
                let (mut client, mut queue) = (Conversation::new(false), Queue::default());
                pieces.iter().for_each(|piece| client.receive(piece, &mut queue));
                client.end_of_input(&mut queue);
                std::mem::take(client.output())
            };
            let at = cut.index(bytes.len() + 1);
            prop_assert_eq!(said(&[&bytes]), said(&[&bytes[..at], &bytes[at..]]));
        }
    }
}
