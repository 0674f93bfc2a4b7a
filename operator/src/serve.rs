//! Metrics and health over HTTP.
//!
//! `/healthz` answers as long as the process runs; `/readyz` once the API server was reached, whether this replica
//! leads or waits; `/metrics` is for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use warp::Filter;
use warp::http::{Response, StatusCode};

use crate::metrics::Metrics;

/// Whether the API server was reached; clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The API server was reached.
    pub fn reached(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_reached(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves until `stop` turns true.
///
/// # Errors
/// If the address cannot be bound.
pub async fn run(
    listen: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {listen} for metrics and health: {error}"))?;
    warp::serve(routes(metrics, readiness))
        .incoming(listener)
        .graceful(async move {
            // An error means that the sender is gone, which is a reason to stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .run()
        .await;
    Ok(())
}

fn routes(
    metrics: Metrics,
    readiness: Readiness,
) -> impl Filter<Extract = (impl warp::Reply + use<>,), Error = warp::Rejection> + Clone {
    let healthz = warp::path!("healthz").map(|| text(StatusCode::OK, "ok\n".into()));
    let readyz = warp::path!("readyz").map(move || {
        if readiness.is_reached() {
            text(StatusCode::OK, "ok\n".into())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "the API server was not reached yet\n".into())
        }
    });
    let scrape = warp::path!("metrics").map(move || match metrics.encode() {
        Ok(body) => text(StatusCode::OK, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    });
    warp::get().and(healthz.or(readyz).unify().or(scrape).unify())
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(
        warp::http::header::CONTENT_TYPE,
        warp::http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn health_metrics_and_readiness_are_served() {
        let readiness = Readiness::default();
        let routes = routes(Metrics::default(), readiness.clone());
        let get = async |path: &str| {
            let answer = warp::test::request().path(path).reply(&routes).await;
            (answer.status(), String::from_utf8_lossy(answer.body()).into_owned())
        };
        assert_eq!(get("/healthz").await.0, StatusCode::OK);
        assert_eq!(get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        readiness.reached();
        assert_eq!(get("/readyz").await.0, StatusCode::OK);
        assert!(get("/metrics").await.1.contains("anf_leader 0"));
    }
}
