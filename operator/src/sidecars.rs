//! The client of the sidecars' control API.
//!
//! One short HTTP/1.1 connection a call, bounded in time and size, so that a sidecar that hangs costs a second and
//! never memory.

use std::net::SocketAddr;
use std::time::Duration;

use anf_sidecar::control::{HandoverRequest, HandoverStatus, Refusal, Status};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

/// One call, connection included.
const CALL: Duration = Duration::from_secs(1);
/// No answer is longer.
const ANSWER_BYTES: usize = 1 << 20;

/// Where a sidecar listens, and the key of its function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Address of the control API.
    pub address: SocketAddr,
    /// Bearer token: the function's key in hexadecimal.
    pub token: String,
}

/// Why a call to a sidecar failed.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It cannot be reached, or hangs.
    #[error("the sidecar at {address} does not answer: {cause}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
    /// It said no.
    #[error("the sidecar at {address} refuses: {message}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// HTTP status.
        status: u16,
        /// One word.
        reason: String,
        /// Its text.
        message: String,
    },
    /// It speaks another version of the API.
    #[error(
        "the sidecar at {address} gave an answer that is not understood ({cause}); is its image of this version?"
    )]
    Answer {
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
}

/// What a sidecar is doing.
///
/// # Errors
/// As [`SidecarError`] says.
pub async fn status(at: &Control) -> Result<Status, SidecarError> {
    let (code, body) = call(at, Method::GET, "/v1/status", None).await?;
    expect(at, code, &body)
}

/// Asks the owner to hand over.
///
/// # Errors
/// As [`SidecarError`] says.
pub async fn start_handover(at: &Control, request: &HandoverRequest) -> Result<(), SidecarError> {
    let body = serde_json::to_vec(request)
        .map_err(|error| SidecarError::Answer { address: at.address, cause: error.to_string() })?;
    let (code, body) = call(at, Method::POST, "/v1/handover", Some(body)).await?;
    accepted(at, code, &body)
}

/// How far a handover is; `None` if this sidecar knows nothing of it.
///
/// # Errors
/// As [`SidecarError`] says.
pub async fn handover(at: &Control, id: &str) -> Result<Option<HandoverStatus>, SidecarError> {
    let (code, body) = call(at, Method::GET, &format!("/v1/handover/{id}"), None).await?;
    if code == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    expect(at, code, &body).map(Some)
}

/// Calls a handover off.
///
/// # Errors
/// As [`SidecarError`] says; refused once it is sealed.
pub async fn abort_handover(at: &Control, id: &str) -> Result<(), SidecarError> {
    let (code, body) = call(at, Method::POST, &format!("/v1/handover/{id}/abort"), Some(Vec::new())).await?;
    accepted(at, code, &body)
}

fn accepted(at: &Control, code: StatusCode, body: &[u8]) -> Result<(), SidecarError> {
    if code.is_success() { Ok(()) } else { Err(refusal(at, code, body)) }
}

fn expect<T: DeserializeOwned>(at: &Control, code: StatusCode, body: &[u8]) -> Result<T, SidecarError> {
    if !code.is_success() {
        return Err(refusal(at, code, body));
    }
    serde_json::from_slice(body)
        .map_err(|error| SidecarError::Answer { address: at.address, cause: error.to_string() })
}

fn refusal(at: &Control, code: StatusCode, body: &[u8]) -> SidecarError {
    let Refusal { reason, message } = serde_json::from_slice(body).unwrap_or_else(|_| Refusal {
        reason: "Refused".into(),
        message: format!("HTTP {code}: {}", String::from_utf8_lossy(body).trim()),
    });
    SidecarError::Refused { address: at.address, status: code.as_u16(), reason, message }
}

async fn call(
    at: &Control,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<(StatusCode, Bytes), SidecarError> {
    let unreachable = |cause: String| SidecarError::Unreachable { address: at.address, cause };
    match tokio::time::timeout(CALL, exchange(at, method, path, body)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(cause)) => Err(unreachable(cause.to_string())),
        Err(_) => Err(unreachable("no answer within 1 s".into())),
    }
}

async fn exchange(
    at: &Control,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(at.address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the last byte of the answer, or when `sender` is dropped.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", at.address.to_string())
        .header("authorization", format!("Bearer {}", at.token))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await?.to_bytes();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::Filter;

    async fn sidecar() -> Control {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = warp::path!("v1" / "handover" / String)
            .and(warp::header::exact("authorization", "Bearer 00ff"))
            .map(|id: String| {
                warp::http::Response::builder()
                    .status(if id == "known" { 409 } else { 404 })
                    .body(r#"{"reason": "NotOwner", "message": "this is a standby"}"#)
            });
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Control { address, token: "00ff".into() }
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_reason_and_an_unknown_handover_is_none() {
        let at = sidecar().await;
        let refused = handover(&at, "known").await.expect_err("a refusal");
        assert!(refused.to_string().ends_with("refuses: this is a standby"), "{refused}");
        assert!(matches!(handover(&at, "other").await, Ok(None)));
    }

    #[tokio::test]
    async fn a_sidecar_that_hangs_costs_a_second() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = Control { address: listener.local_addr().expect("an address"), token: String::new() };
        let error = status(&at).await.expect_err("no answer");
        assert!(matches!(error, SidecarError::Unreachable { .. }), "{error}");
    }
}
