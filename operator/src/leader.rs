//! Leader election by compare-and-swap on a Lease.
//!
//! At most one replica believes that it leads: a write succeeds only against the resource version that was read, a
//! holder stops leading before its lease can be taken, and whether a lease has run out is judged by the local
//! monotonic clock since the last change that was *seen*, never by comparing clocks of two machines. This guards the
//! writing of status; flow state is fenced by epochs in the store.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};

/// Name of the Lease.
pub const LEASE: &str = "atomicnf-operator";
/// A lease that nobody renewed for so long may be taken.
const DURATION: Duration = Duration::from_secs(10);
/// A holder renews this often.
const RENEW: Duration = Duration::from_secs(2);
/// A holder that could not renew for so long stops leading: before the lease can be taken.
const GIVE_UP: Duration = Duration::from_secs(7);
/// One call to the API server.
const CALL: Duration = Duration::from_secs(3);

/// What was seen of the lease, and when it last changed.
#[derive(Debug, Clone)]
struct Seen {
    lease: Lease,
    changed: Instant,
}

/// What to do about a lease, given what was seen of it.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// Nobody has ever held it: make it.
    Create,
    /// It is ours, free or has run out: write it.
    Take,
    /// Somebody holds it.
    Wait,
}

/// One replica in the election.
pub struct Elector {
    api: Api<Lease>,
    me: String,
    seen: Option<Seen>,
}

impl Elector {
    /// A replica by name. `client` must not repeat refused calls.
    pub fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), me: me.to_owned(), seen: None }
    }

    /// Returns once this replica leads. `reached` is called with every answer of the API server.
    pub async fn acquire(&mut self, reached: impl Fn()) {
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => reached(),
                Err(error) => tracing::warn!(%error, "the lease {LEASE} cannot be read or written"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews the lease; returns when it is lost.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP {
            tokio::time::sleep(RENEW).await;
            let asked = Instant::now();
            match self.attempt().await {
                Ok(true) => renewed = asked,
                Ok(false) => {
                    tracing::error!("another replica took the lease {LEASE}");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the lease {LEASE} was not renewed"),
            }
        }
        tracing::error!("the lease {LEASE} could not be renewed for {} s", GIVE_UP.as_secs());
    }

    /// Hands the lease back, so that another replica need not wait.
    pub async fn release(&mut self) {
        let Some(seen) = self.seen.take() else { return };
        let mut lease = seen.lease;
        if holder(&lease) != Some(self.me.as_str()) {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        let params = PostParams::default();
        if let Err(error) = bounded(self.api.replace(LEASE, &params, &lease)).await {
            tracing::warn!(%error, "the lease {LEASE} was not released; it runs out in {} s", DURATION.as_secs());
        }
    }

    /// One read and at most one write. True if the lease is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let found = bounded(self.api.get_opt(LEASE)).await?;
        self.observe(found, Instant::now());
        let step = decide(self.seen.as_ref(), &self.me, Instant::now());
        let written = match step {
            Move::Wait => return Ok(false),
            Move::Create => bounded(self.api.create(&PostParams::default(), &self.lease(None))).await,
            Move::Take => {
                let current = self.seen.as_ref().map(|seen| &seen.lease);
                bounded(self.api.replace(LEASE, &PostParams::default(), &self.lease(current))).await
            }
        };
        match written {
            Ok(lease) => {
                self.observe(Some(lease), Instant::now());
                Ok(true)
            }
            // Somebody was faster: that is an answer, not an error.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, found: Option<Lease>, now: Instant) {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        self.seen = found.map(|lease| match self.seen.take() {
            Some(old) if version(&old.lease) == version(&lease) => Seen { lease, changed: old.changed },
            _ => Seen { lease, changed: now },
        });
    }

    /// The lease as ours, over `current`.
    fn lease(&self, current: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let old = current.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let renewed = old.holder_identity.as_deref() == Some(self.me.as_str());
        Lease {
            metadata: current.map_or_else(
                || ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if renewed { old.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!renewed)),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn decide(seen: Option<&Seen>, me: &str, now: Instant) -> Move {
    let Some(seen) = seen else { return Move::Create };
    match holder(&seen.lease) {
        None => Move::Take,
        Some(holder) if holder == me => Move::Take,
        Some(_) if now.saturating_duration_since(seen.changed) >= DURATION => Move::Take,
        Some(_) => Move::Wait,
    }
}

/// A call that must end: a holder that hangs would lead too long.
async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service("no answer within 3 s".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: Option<&str>) -> Lease {
        Lease {
            spec: Some(LeaseSpec { holder_identity: holder.map(str::to_owned), ..LeaseSpec::default() }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_is_free_ours_or_unchanged_for_its_whole_duration() {
        let now = Instant::now();
        let seen =
            |holder, age: u64| Seen { lease: held_by(holder), changed: now - Duration::from_secs(age) };
        assert_eq!(decide(None, "me", now), Move::Create);
        assert_eq!(decide(Some(&seen(None, 0)), "me", now), Move::Take);
        assert_eq!(decide(Some(&seen(Some(""), 0)), "me", now), Move::Take);
        assert_eq!(decide(Some(&seen(Some("me"), 0)), "me", now), Move::Take);
        assert_eq!(decide(Some(&seen(Some("other"), 9)), "me", now), Move::Wait);
        assert_eq!(decide(Some(&seen(Some("other"), 10)), "me", now), Move::Take);
    }

    #[test]
    fn a_holder_gives_up_before_its_lease_can_be_taken() {
        // The last renewal may have been stored when it was asked for, and one more call may be under way.
        assert!(GIVE_UP + CALL <= DURATION);
    }
}
