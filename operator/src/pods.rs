//! What a pod of a sub-function tells about itself.
//!
//! Pure views on Kubernetes' types: nothing here holds a client.

use std::net::{IpAddr, SocketAddr};

use anf_crds::names;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

use crate::sidecars::Control;

/// The value of a label, or nothing.
pub fn label<'a>(pod: &'a Pod, key: &str) -> &'a str {
    pod.labels().get(key).map_or("", String::as_str)
}

/// The node that a pod was given.
pub fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// It is being deleted or has ended, so it runs nothing any more.
pub fn is_leaving(pod: &Pod) -> bool {
    let ended = matches!(phase(pod), Some("Failed" | "Succeeded"));
    pod.metadata.deletion_timestamp.is_some() || ended
}

/// Its container was started.
pub fn is_running(pod: &Pod) -> bool {
    phase(pod) == Some("Running")
}

/// It passes its readiness probe.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True") && pod.metadata.deletion_timestamp.is_none()
}

/// The scheduler's text, if it found no node.
pub fn unschedulable(pod: &Pod) -> Option<&str> {
    let condition = condition(pod, "PodScheduled").filter(|c| c.status == "False")?;
    (condition.reason.as_deref() == Some("Unschedulable"))
        .then(|| condition.message.as_deref().unwrap_or_default())
}

/// Why its container does not run: `ImagePullBackOff: …`, `CrashLoopBackOff: …`.
pub fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let (Some("Failed"), Some(reason)) = (status.phase.as_deref(), status.reason.as_deref()) {
        return Some(with_message(reason, status.message.as_deref()));
    }
    status.container_statuses.iter().flatten().find_map(container_trouble)
}

fn container_trouble(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref()?;
        if reason == "ContainerCreating" || reason == "PodInitializing" {
            return None;
        }
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let said = last.and_then(|last| last.message.as_deref()).or(waiting.message.as_deref());
        return Some(with_message(reason, said));
    }
    let ended = state.terminated.as_ref()?;
    Some(with_message(&format!("ended with code {}", ended.exit_code), ended.message.as_deref()))
}

fn with_message(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

/// Where its sidecar's control API listens.
pub fn control(pod: &Pod, token: &str) -> Option<Control> {
    Some(Control { address: port_address(pod, names::PORT_CONTROL)?, token: token.to_owned() })
}

/// Where its sidecar takes links.
pub fn link_address(pod: &Pod) -> Option<SocketAddr> {
    port_address(pod, names::PORT_LINK)
}

fn port_address(pod: &Pod, name: &str) -> Option<SocketAddr> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    let ports = pod.spec.as_ref()?.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let port = ports.into_iter().find(|port| port.name.as_deref() == Some(name))?;
    Some(SocketAddr::new(address, u16::try_from(port.container_port).ok()?))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == type_)
}

/// The bearer token that goes with a function's key.
pub fn token(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).expect("a pod")
    }

    #[test]
    fn the_text_of_the_scheduler_is_found() {
        let pod = pod(serde_json::json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
        ]}}));
        assert_eq!(unschedulable(&pod), Some("0/3 nodes are available"));
        assert!(!is_ready(&pod));
    }

    #[test]
    fn a_container_that_does_not_start_says_why() {
        let pod = pod(serde_json::json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "sidecar", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state":
             {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
             "lastState": {"terminated": {"exitCode": 1, "message": "cannot open eth7: no such device"}}}
        ]}}));
        assert_eq!(trouble(&pod).as_deref(), Some("CrashLoopBackOff: cannot open eth7: no such device"));
    }

    #[test]
    fn addresses_come_from_the_named_ports() {
        let pod = pod(serde_json::json!({
            "spec": {"containers": [{"name": "sidecar", "ports": [
                {"name": "link", "containerPort": 7000}, {"name": "control", "containerPort": 7001}]}]},
            "status": {"podIP": "10.244.1.7"}
        }));
        assert_eq!(control(&pod, "ab").map(|c| c.address.to_string()).as_deref(), Some("10.244.1.7:7001"));
        assert_eq!(link_address(&pod).map(|a| a.to_string()).as_deref(), Some("10.244.1.7:7000"));
        assert_eq!(token(&[0, 0xff, 0x0a]), "00ff0a");
    }
}
