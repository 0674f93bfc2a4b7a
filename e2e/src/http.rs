//! A small HTTP client for the control API: one request, one connection.
//!
//! It speaks HTTP/1.0, so an answer is never chunked and ends with the connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends a request with an optional bearer token and JSON body.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Option<&str>,
    timeout: Duration,
) -> io::Result<Answer> {
    let mut connection = TcpStream::connect_timeout(&address, timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n");
    if let Some(token) = bearer {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    let body = body.unwrap_or_default();
    if !body.is_empty() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    } else if method == "POST" {
        head += "Content-Length: 0\r\n";
    }
    connection.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let invalid =
        || io::Error::new(ErrorKind::InvalidData, format!("not an HTTP answer: {:?}", text.get(..80)));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(invalid)?;
    Ok(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_taken_apart() {
        let answer = parse(b"HTTP/1.0 409 Conflict\r\nA: b\r\n\r\n{\"reason\":\"x\"}").unwrap();
        assert_eq!(answer, Answer { status: 409, body: "{\"reason\":\"x\"}".into() });
        assert!(!answer.is_success());
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(parse(b"").is_err());
        assert!(parse(b"\xff\xff\r\n\r\n").is_err());
    }
}
