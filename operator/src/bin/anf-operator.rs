//! The operator's process: it waits for the lease, then runs the controllers until it loses it or is told to stop.

use std::sync::Arc;

use anf_operator::clients::Clients;
use anf_operator::events::Events;
use anf_operator::function::{self, Context};
use anf_operator::leader::Elector;
use anf_operator::metrics::Metrics;
use anf_operator::migration;
use anf_operator::serve::{self, Readiness};
use anf_operator::settings::{LogFormat, Settings};
use anf_operator::webhook::admission::Reviewer;
use anf_operator::webhook::keeper::{Keeper, Leading};
use anf_operator::webhook::{self, Served};
use clap::Parser;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    log(settings.log_format);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(stop_on_signal(stop)?);
    let metrics = Metrics::default();
    let readiness = Readiness::default();
    let http = tokio::spawn(serve::run(settings.listen, metrics.clone(), readiness.clone(), stopped.clone()));
    let clients = Clients::from_environment().await?;
    let leading = Leading::default();
    start_webhook(&settings, &clients, &metrics, &leading, stopped.clone());
    let mut elector = Elector::new(clients.direct.clone(), &settings.namespace, &settings.pod_name);
    tokio::select! {
        () = elector.acquire(|| readiness.reached()) => {}
        () = until(stopped.clone()) => return Ok(()),
        served = http => return served?,
    }
    readiness.reached();
    metrics.leader.set(1);
    leading.set(true);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "leading");
    let lost = lead(settings, clients, metrics.clone(), stopped, &mut elector).await;
    metrics.leader.set(0);
    leading.set(false);
    if lost {
        // Whoever leads now must not meet our writes: end at once, and be started again as a follower.
        anyhow::bail!("the lease was lost");
    }
    elector.release().await;
    Ok(())
}

/// Without it everything goes on, only later: so it is no reason to end when it cannot be served.
fn start_webhook(
    settings: &Settings,
    clients: &Clients,
    metrics: &Metrics,
    leading: &Leading,
    stopped: watch::Receiver<bool>,
) {
    let Some(service) = settings.webhook_service.clone().filter(|service| !service.is_empty()) else {
        return;
    };
    let served = Served::default();
    let reviewer = Reviewer {
        clients: clients.clone(),
        default_store: settings.redis_url.clone(),
        metrics: metrics.clone(),
    };
    let keeper = Keeper {
        client: clients.direct.clone(),
        namespace: settings.namespace.clone(),
        secret: settings.webhook_secret.clone(),
        service,
        configuration: settings.webhook_configuration.clone(),
        leading: leading.clone(),
        served: served.clone(),
    };
    tokio::spawn(keeper.run());
    let listen = settings.webhook_listen;
    tokio::spawn(async move {
        if let Err(error) = webhook::server::run(listen, served, reviewer, stopped).await {
            tracing::error!(%error, "there is no webhook");
        }
    });
}

/// Runs the controllers; true if the lease was lost.
async fn lead(
    settings: Settings,
    clients: Clients,
    metrics: Metrics,
    stopped: watch::Receiver<bool>,
    elector: &mut Elector,
) -> bool {
    let (nodes, writer) = reflector::store();
    let watched = watcher(Api::<Node>::all(clients.patient.clone()), watcher::Config::default());
    tokio::spawn(keep(reflector(writer, watched.default_backoff())));
    let cx = Arc::new(Context {
        events: Events::new(clients.patient.clone(), &settings.pod_name),
        clients,
        nodes,
        metrics,
        settings,
        migrations: migration::Registry::default(),
    });
    tokio::select! {
        () = elector.hold() => return true,
        ready = cx.nodes.wait_until_ready() => {
            if ready.is_err() {
                tracing::warn!("the watch of nodes has ended");
            }
        }
    }
    let controllers = async {
        tokio::join!(
            function::run(cx.clone(), until(stopped.clone())),
            migration::run(cx.clone(), until(stopped.clone()))
        )
    };
    tokio::select! {
        () = elector.hold() => true,
        _ = controllers => false,
    }
}

/// Keeps a reflector going; its errors are retried with a back-off.
async fn keep<T, E: std::fmt::Display>(stream: impl Stream<Item = Result<T, E>>) {
    stream
        .for_each(|event| async {
            if let Err(error) = event {
                tracing::warn!(%error, "the watch of nodes was interrupted");
            }
        })
        .await;
}

/// Ends when the process is told to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody can tell us any more, which is a reason to stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn stop_on_signal(stop: watch::Sender<bool>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
        // Holds the sender: without it, waiters would take its end for the signal.
        std::future::pending::<()>().await;
    })
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
