//! The control API over HTTP (warp), with health and metrics. Runs on a thread of its own; asks the packet thread.

// The error of a step here is the answer to send, made at most once a request.
#![allow(clippy::result_large_err)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use warp::http::{HeaderMap, StatusCode};
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use crate::control::{HandoverRequest, Refusal, Role, Status};

use super::event_loop::{Message, Waker};
use super::metrics;
use super::requests::Request;

/// The packet thread answers within this time, or something is very wrong.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_BODY: u64 = 64 << 10;

/// The way to the packet thread.
#[derive(Clone)]
pub(super) struct Asker {
    inbox: std::sync::mpsc::SyncSender<Message>,
    waker: Waker,
    /// `Bearer` and the key in hexadecimal.
    authorization: Arc<str>,
    function: Arc<str>,
}

impl Asker {
    /// Asks through `inbox`.
    pub(super) fn new(
        inbox: std::sync::mpsc::SyncSender<Message>,
        waker: Waker,
        key: &[u8],
        function: &str,
    ) -> Self {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { inbox, waker, authorization: format!("Bearer {hex}").into(), function: function.into() }
    }

    /// Leaves a request without waiting for an answer.
    pub(super) fn tell(&self, request: Request) {
        if self.inbox.try_send(Message::Request(request)).is_ok() {
            self.waker.wake();
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Response> {
        let (back, answer) = oneshot::channel();
        self.tell(request(back));
        let unavailable =
            || refusal(StatusCode::SERVICE_UNAVAILABLE, "Busy", "the packet thread does not answer");
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| unavailable())?.map_err(|_| unavailable())
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get("authorization").map(|value| value.as_bytes()).unwrap_or_default();
        let wanted = self.authorization.as_bytes();
        // As long for a wrong token as for the right one.
        given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

fn refusal(status: StatusCode, reason: &str, message: &str) -> Response {
    let body = Refusal { reason: reason.into(), message: message.into() };
    warp::reply::with_status(warp::reply::json(&body), status).into_response()
}

fn json<T: serde::Serialize>(value: &T) -> Response {
    warp::reply::json(value).into_response()
}

fn flat(result: Result<Response, Response>) -> Response {
    result.unwrap_or_else(|response| response)
}

fn done(result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(Refusal { reason, message }) => refusal(StatusCode::CONFLICT, &reason, &message),
    }
}

/// All routes.
pub(super) fn routes(asker: Asker) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let open = health(asker.clone()).or(ready(asker.clone())).unify().or(scrape(asker.clone())).unify();
    let reading =
        status(asker.clone()).or(handover_status(asker.clone())).unify().or(handler(asker.clone())).unify();
    let acting = begin(asker.clone()).or(abort(asker)).unify();
    open.or(reading).unify().or(acting).unify().recover(rejected).map(|reply| reply)
}

async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    if rejection.is_not_found() {
        return Ok(refusal(StatusCode::NOT_FOUND, "NotFound", "no such path"));
    }
    if let Some(error) = rejection.find::<warp::filters::body::BodyDeserializeError>() {
        return Ok(refusal(StatusCode::UNPROCESSABLE_ENTITY, "BadRequest", &error.to_string()));
    }
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return Ok(refusal(StatusCode::METHOD_NOT_ALLOWED, "BadRequest", "another method is needed here"));
    }
    Ok(refusal(StatusCode::BAD_REQUEST, "BadRequest", &format!("{rejection:?}")))
}

type Routed = (Response,);

/// Adds the asker and the check of the caller's key.
fn authorized(asker: Asker) -> impl Filter<Extract = (Result<Asker, Response>,), Error = Infallible> + Clone {
    warp::header::headers_cloned().map(move |headers: HeaderMap| {
        if asker.allows(&headers) {
            return Ok(asker.clone());
        }
        let message = "give the function's key: Authorization: Bearer <hexadecimal>";
        Err(refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message))
    })
}

fn health(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("healthz").and(warp::get()).then(move || {
        let asker = asker.clone();
        async move { flat(asker.ask(Request::Status).await.map(|_| "ok\n".into_response())) }
    })
}

fn ready(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("readyz").and(warp::get()).then(move || {
        let asker = asker.clone();
        async move { flat(asker.ask(Request::Status).await.map(|status| readiness(&status))) }
    })
}

fn readiness(status: &Status) -> Response {
    match (&status.not_ready, status.role) {
        (None, Role::Owner | Role::Standby) => format!("{}\n", status.role).into_response(),
        (reason, role) => {
            let text = reason.clone().unwrap_or_else(|| role.to_string());
            warp::reply::with_status(format!("{text}\n"), StatusCode::SERVICE_UNAVAILABLE).into_response()
        }
    }
}

fn scrape(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("metrics").and(warp::get()).then(move || {
        let asker = asker.clone();
        async move {
            let text =
                asker.ask(Request::Status).await.map(|status| metrics::render(&status, &asker.function));
            let typed =
                |text| warp::reply::with_header(text, "content-type", metrics::CONTENT_TYPE).into_response();
            flat(text.map(typed))
        }
    })
}

fn status(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("v1" / "status").and(warp::get()).and(authorized(asker)).then(
        |asker: Result<Asker, Response>| async {
            flat(async { Ok(json(&asker?.ask(Request::Status).await?)) }.await)
        },
    )
}

fn handover_status(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("v1" / "handover" / String).and(warp::get()).and(authorized(asker)).then(
        |id: String, asker: Result<Asker, Response>| async {
            let known = async { asker?.ask(|back| Request::HandoverStatus(id, back)).await }.await;
            flat(known.map(|known| match known {
                Some(known) => json(&known),
                None => refusal(StatusCode::NOT_FOUND, "NotFound", "no such handover is known here"),
            }))
        },
    )
}

fn handler(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("v1" / "handlers" / String).and(warp::get()).and(authorized(asker)).then(
        |path: String, asker: Result<Asker, Response>| async {
            let answer = async { asker?.ask(|back| Request::ReadHandler(path, back)).await }.await;
            flat(answer.map(|answer| match answer {
                Ok(text) => text.into_response(),
                Err(message) => refusal(StatusCode::NOT_FOUND, "NotFound", &message),
            }))
        },
    )
}

fn begin(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("v1" / "handover")
        .and(warp::post())
        .and(authorized(asker))
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::json())
        .then(|asker: Result<Asker, Response>, request: HandoverRequest| async {
            flat(async { Ok(done(asker?.ask(|back| Request::Handover(request, back)).await?)) }.await)
        })
}

fn abort(asker: Asker) -> impl Filter<Extract = Routed, Error = Rejection> + Clone {
    warp::path!("v1" / "handover" / String / "abort").and(warp::post()).and(authorized(asker)).then(
        |id: String, asker: Result<Asker, Response>| async {
            flat(async { Ok(done(asker?.ask(|back| Request::Abort(id, back)).await?)) }.await)
        },
    )
}

/// Serves at `address` until the runtime ends.
pub(super) async fn serve(address: SocketAddr, asker: Asker) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    warp::serve(routes(asker)).incoming(listener).run().await;
    Ok(())
}
