//! HTTPS for the API server: one review a request.
//!
//! Whoever reaches the port may speak: connections, sizes and times are bounded, and what cannot be read is answered
//! with 400.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::core::response::StatusSummary;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::admission::Reviewer;
use super::{PATH_ADMISSION, PATH_EVICTION, Served, Verdict};

/// Connections at once; the API server keeps a few open.
const CONNECTIONS: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Between two requests of a connection.
const IDLE: Duration = Duration::from_secs(120);
const REQUEST: Duration = Duration::from_secs(10);
/// An update carries the object before and after, each at most as long as etcd takes.
const BODY_BYTES: usize = 8 << 20;

/// Serves until `stop` turns true.
///
/// # Errors
/// If the address cannot be bound.
pub async fn run(
    listen: SocketAddr,
    served: Served,
    reviewer: Reviewer,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {listen} for the webhook: {error}"))?;
    let reviewer = Arc::new(reviewer);
    tokio::select! {
        () = accept(&listener, &served, &reviewer) => {}
        // An error means that the sender is gone, which is a reason to stop as well.
        _ = stop.wait_for(|stop| *stop) => {}
    }
    Ok(())
}

async fn accept(listener: &TcpListener, served: &Served, reviewer: &Arc<Reviewer>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (served, reviewer) = (served.clone(), reviewer.clone());
                tokio::spawn(async move {
                    connection(stream, &served, reviewer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the webhook could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Ends when the peer does; its faults are its own business.
async fn connection(stream: TcpStream, served: &Served, reviewer: Arc<Reviewer>) {
    let Some(config) = served.current() else { return };
    let shaken = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
    let Ok(Ok(stream)) = shaken else { return };
    let service = service_fn(move |request| {
        let reviewer = reviewer.clone();
        async move {
            let answer = tokio::time::timeout(REQUEST, answer(&reviewer, request)).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| plain(StatusCode::GATEWAY_TIMEOUT, "too slow")))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the webhook was interrupted");
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response
}

async fn answer(reviewer: &Reviewer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "POST an AdmissionReview");
    }
    let path = request.uri().path().to_owned();
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES).collect().await else {
        return plain(StatusCode::BAD_REQUEST, "the body is too long or ends early");
    };
    let request = match read(&body.to_bytes()) {
        Ok(request) => request,
        Err(text) => return plain(StatusCode::BAD_REQUEST, &text),
    };
    let verdict = match path.as_str() {
        PATH_ADMISSION => reviewer.admission(&request).await,
        PATH_EVICTION => reviewer.eviction(&request).await,
        _ => return plain(StatusCode::NOT_FOUND, "no such path"),
    };
    match serde_json::to_vec(&response(&request, verdict).into_review()) {
        Ok(body) => {
            let mut response = Response::new(Full::new(Bytes::from(body)));
            let json = hyper::header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn read(body: &[u8]) -> Result<AdmissionRequest<DynamicObject>, String> {
    let review: AdmissionReview<DynamicObject> =
        serde_json::from_slice(body).map_err(|error| format!("this is no AdmissionReview: {error}"))?;
    review.try_into().map_err(|_| "the AdmissionReview has no request".to_owned())
}

fn response(request: &AdmissionRequest<DynamicObject>, verdict: Verdict) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    match verdict {
        Verdict::Allow(warnings) => response.warnings = Some(warnings).filter(|all| !all.is_empty()),
        Verdict::Deny { code, reason, message } => {
            response.allowed = false;
            response.result.status = Some(StatusSummary::Failure);
            response.result.code = code;
            response.result.reason = reason.to_owned();
            response.result.message = message;
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> AdmissionRequest<DynamicObject> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "CREATE", "userInfo": {}, "name": "n", "namespace": "default",
                "kind": {"group": "policy", "version": "v1", "kind": "Eviction"},
                "resource": {"group": "", "version": "v1", "resource": "pods"}, "subResource": "eviction",
                "object": {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "n"}},
            }
        });
        read(review.to_string().as_bytes()).expect("a request")
    }

    #[test]
    fn a_refusal_carries_code_reason_and_text_to_whoever_asked() {
        let verdict =
            Verdict::Deny { code: 429, reason: "TooManyRequests", message: "nat: Syncing 7 %".into() };
        let review = serde_json::to_value(response(&request(), verdict).into_review()).expect("JSON");
        assert_eq!(review["response"]["uid"], "u");
        assert_eq!(review["response"]["allowed"], false);
        assert_eq!(review["response"]["status"]["code"], 429);
        assert_eq!(review["response"]["status"]["reason"], "TooManyRequests");
        assert_eq!(review["response"]["status"]["message"], "nat: Syncing 7 %");
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    }

    #[test]
    fn what_may_pass_says_nothing_but_its_warnings() {
        let silent =
            serde_json::to_value(response(&request(), Verdict::allow()).into_review()).expect("JSON");
        assert_eq!(silent["response"]["allowed"], true);
        assert!(silent["response"].get("warnings").is_none());
        let warned = response(&request(), Verdict::Allow(vec!["look".into()]));
        assert_eq!(warned.warnings.as_deref(), Some(&["look".to_owned()][..]));
    }

    #[test]
    fn what_is_no_review_is_refused_with_a_text() {
        assert!(read(b"{").expect_err("not JSON").contains("no AdmissionReview"));
        let empty = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
        assert!(read(empty.as_bytes()).expect_err("no request").contains("no request"));
    }
}
