//! The directory that a function's pods on one node share, so that links between them run through memory.
//!
//! It is the function's own directory under one of the node's. The kubelet makes it for root; in a pod that runs as
//! nobody a container that runs first gives it to nobody's group. That container is root without any capability, and
//! sees nothing but the directory.

use anf_sidecar::serve::SHARE_COMMAND;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, HostPathVolumeSource, ResourceRequirements, SecurityContext, Volume, VolumeMount,
};

use super::{Image, NOBODY};

/// Where the sidecar finds it.
pub(super) const PATH: &str = "/run/anf";
const NAME: &str = "links";

/// The directory of the function with this UID under `host`, a directory of the node.
pub(super) fn volume(host: &str, uid: &str) -> Volume {
    Volume {
        name: NAME.into(),
        host_path: Some(HostPathVolumeSource {
            path: format!("{}/{uid}", host.trim_end_matches('/')),
            type_: Some("DirectoryOrCreate".into()),
        }),
        ..Volume::default()
    }
}

pub(super) fn mount() -> VolumeMount {
    VolumeMount { name: NAME.into(), mount_path: PATH.into(), ..VolumeMount::default() }
}

/// The container that lets nobody in. It asks for what the sidecar asks for, so that the pod asks for no more.
pub(super) fn opener(image: &Image, resources: ResourceRequirements) -> Container {
    Container {
        name: "share-links".into(),
        image: Some(image.name.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec![SHARE_COMMAND.into(), PATH.into()]),
        resources: Some(resources),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(false),
            run_as_user: Some(0),
            run_as_group: Some(NOBODY),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![mount()]),
        ..Container::default()
    }
}
