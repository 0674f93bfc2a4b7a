//! The pod of one sub-function. Pure.
//!
//! As little privilege as the part allows: without a port it runs as nobody with no capability; with one it gets
//! NET_RAW (and NET_ADMIN for a TUN device) and nothing else. Files are read-only, the service account's token stays
//! away, nothing is escalated.

mod links;

use std::collections::BTreeMap;

use anf_crds::{CoLocation, Placement, names as labels};
use anf_sidecar::manifest::{Manifest, PortBinding};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    HTTPGetAction, HostPathVolumeSource, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, ObjectFieldSelector, Pod, PodAffinity, PodAffinityTerm, PodAntiAffinity,
    PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Identity;
use super::dereference::SECRET_KEY;
use super::validate::Part;
use crate::names;
use crate::settings::Settings;

/// The container's name.
pub const CONTAINER: &str = "sidecar";
/// Nobody, as distributions of containers have it.
const NOBODY: i64 = 65_532;
/// Tells a sidecar which epoch it may follow.
const CLAIM: &str = "ANF_CLAIM_EPOCH";
const HOST_NAME_KEY: &str = "kubernetes.io/hostname";

/// What a pod runs.
#[derive(Debug, Clone)]
pub struct Image {
    /// The image.
    pub name: String,
    /// Filter of its log.
    pub log: String,
    /// Directory of the nodes under which the pods of a function share one; without it their links use TCP.
    pub link_directory: Option<String>,
}

impl Image {
    /// From the operator's settings.
    pub fn of(settings: &Settings) -> Self {
        Self {
            name: settings.sidecar_image.clone(),
            log: settings.sidecar_log.clone(),
            link_directory: settings.link_directory.clone(),
        }
    }
}

/// What a pod is made for.
#[derive(Debug, Clone)]
pub enum Purpose<'a> {
    /// To own the sub-function, if its epoch is still this one.
    Own {
        /// The last epoch that is known; 0 if it was never owned.
        epoch: u64,
    },
    /// To take over from the owner.
    Target {
        /// The migration's name.
        migration: &'a str,
        /// Where to.
        place: Place<'a>,
        /// Further labels of the node.
        selector: Option<&'a BTreeMap<String, String>>,
    },
}

/// Which node a target may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// This one.
    On(&'a str),
    /// Any but this one.
    NotOn(&'a str),
}

/// What the pods of one function share.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// The function.
    pub id: &'a Identity,
    /// Its reference, as the controller of its pods.
    pub owner: &'a OwnerReference,
    /// Whether its pods keep together.
    pub co_location: CoLocation,
    /// The image.
    pub image: &'a Image,
}

/// Makes a pod.
pub fn pod(family: Family<'_>, part: &Part, name: String, purpose: &Purpose<'_>) -> Pod {
    let access = Access::of(&part.manifest);
    let (link, control) = ports(family.id, &part.manifest);
    let placement = part.placement.clone().unwrap_or_default();
    Pod {
        metadata: metadata(family, part, name, purpose),
        spec: Some(PodSpec {
            affinity: affinity(family, &placement, purpose),
            automount_service_account_token: Some(false),
            containers: vec![container(family, part, access, (link, control), purpose)],
            dns_policy: access.host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
            enable_service_links: Some(false),
            host_network: access.host_network.then_some(true),
            init_containers: opens_links(family, access)
                .then(|| vec![links::opener(family.image, resources(part))]),
            node_selector: node_selector(&placement, purpose),
            restart_policy: Some("Always".into()),
            security_context: Some(pod_security(access)),
            termination_grace_period_seconds: Some(5),
            tolerations: some(placement.tolerations.clone()),
            topology_spread_constraints: some(placement.topology_spread_constraints.clone()),
            volumes: Some(volumes(family, part, access)),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// The link port and the control port of a part's pods.
pub fn ports(id: &Identity, manifest: &Manifest) -> (u16, u16) {
    if Access::of(manifest).host_network {
        names::host_ports(&id.namespace, &id.name, &manifest.sub_function)
    } else {
        names::POD_PORTS
    }
}

/// What a part needs of its host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Access {
    host_network: bool,
    raw: bool,
    tun: bool,
}

impl Access {
    fn of(manifest: &Manifest) -> Self {
        manifest.ports.iter().fold(Self::default(), |access, port| match port.binding {
            PortBinding::Node { .. } => Self { host_network: true, raw: true, ..access },
            PortBinding::Pod { .. } => Self { raw: true, ..access },
            PortBinding::Tun { .. } => Self { raw: true, tun: true, ..access },
        })
    }

    /// Kubernetes gives added capabilities to root only.
    fn needs_root(self) -> bool {
        self.raw
    }

    fn capabilities(self) -> Vec<String> {
        let raw = self.raw.then(|| "NET_RAW".to_owned());
        let admin = self.tun.then(|| "NET_ADMIN".to_owned());
        raw.into_iter().chain(admin).collect()
    }
}

fn metadata(family: Family<'_>, part: &Part, name: String, purpose: &Purpose<'_>) -> ObjectMeta {
    let mut labels = self::labels(family.id, part.name());
    match purpose {
        Purpose::Own { .. } => {
            labels.insert(labels::LABEL_ROLE.into(), labels::ROLE_OWNER.into());
        }
        Purpose::Target { migration, .. } => {
            labels.insert(labels::LABEL_ROLE.into(), labels::ROLE_TARGET.into());
            labels.insert(labels::LABEL_MIGRATION.into(), label_value(migration));
        }
    }
    ObjectMeta {
        name: Some(name),
        namespace: Some(family.id.namespace.clone()),
        labels: Some(labels),
        annotations: Some(BTreeMap::from([(
            labels::ANNOTATION_MANIFEST.to_owned(),
            names::manifest_hash(&part.manifest),
        )])),
        owner_references: Some(vec![family.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The epoch that a pod was made to claim.
pub fn claimed_epoch(pod: &Pod) -> Option<u64> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut env = containers.flat_map(|container| container.env.iter().flatten());
    env.find(|env| env.name == CLAIM)?.value.as_ref()?.parse().ok()
}

/// Labels of everything that belongs to a sub-function.
pub fn labels(id: &Identity, sub_function: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), "atomicnf".to_owned()),
        ("app.kubernetes.io/name".to_owned(), "anf-sidecar".to_owned()),
        (labels::LABEL_FUNCTION.to_owned(), id.name.clone()),
        (labels::LABEL_SUB_FUNCTION.to_owned(), sub_function.to_owned()),
    ])
}

/// A name as a label's value, which is at most 63 characters long and ends with a letter or digit.
pub fn label_value(name: &str) -> String {
    let short: String = name.chars().take(63).collect();
    short.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

fn container(
    family: Family<'_>,
    part: &Part,
    access: Access,
    (link, control): (u16, u16),
    purpose: &Purpose<'_>,
) -> Container {
    Container {
        name: CONTAINER.into(),
        image: Some(family.image.name.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec!["serve".into()]),
        env: Some(environment(family, (link, control), purpose)),
        ports: Some(vec![
            container_port(labels::PORT_LINK, link, access),
            container_port(labels::PORT_CONTROL, control, access),
        ]),
        liveness_probe: Some(Probe {
            // A sidecar that is short of processor time still forwards: only one that hangs for a minute is restarted.
            failure_threshold: Some(12),
            ..probe("/healthz", control)
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(2),
            period_seconds: Some(2),
            ..probe("/readyz", control)
        }),
        resources: Some(resources(part)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: some(access.capabilities()),
                drop: Some(vec!["ALL".into()]),
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts(family, access)),
        ..Container::default()
    }
}

fn container_port(name: &str, port: u16, access: Access) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port.into(),
        host_port: access.host_network.then_some(port.into()),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, port: u16) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(port.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(5),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

/// Whether the pod must let itself into the directory that it shares: root owns it.
fn opens_links(family: Family<'_>, access: Access) -> bool {
    family.image.link_directory.is_some() && !access.needs_root()
}

fn resources(part: &Part) -> ResourceRequirements {
    part.resources.clone().unwrap_or_else(small)
}

/// Enough to be scheduled everywhere and to be seen by the scheduler at all.
fn small() -> ResourceRequirements {
    let quantity = |text: &str| Quantity(text.to_owned());
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            // The weight of the packet thread against everything else on the node: with a few millicores it waits.
            ("cpu".into(), quantity("250m")),
            ("memory".into(), quantity("32Mi")),
        ])),
        ..ResourceRequirements::default()
    }
}

fn environment(family: Family<'_>, (link, control): (u16, u16), purpose: &Purpose<'_>) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let field = |name: &str, path: &str| EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
    };
    let claim = match purpose {
        Purpose::Own { epoch } => value(CLAIM, epoch.to_string()),
        Purpose::Target { .. } => value("ANF_STANDBY", "true".into()),
    };
    let directory = family.image.link_directory.as_ref();
    let mut environment = vec![
        value("ANF_MANIFEST", "/etc/anf/manifest/manifest.json".into()),
        value("ANF_KEY_FILE", format!("/etc/anf/key/{SECRET_KEY}")),
        field("ANF_OWNER_ID", "metadata.name"),
        field("ANF_NODE", "spec.nodeName"),
        field("ANF_ADVERTISE", "status.podIP"),
        value("ANF_LINK_PORT", link.to_string()),
        value("ANF_CONTROL_PORT", control.to_string()),
        claim,
        value("ANF_LOG", family.image.log.clone()),
    ];
    environment.extend(directory.map(|_| value("ANF_LINK_DIRECTORY", links::PATH.into())));
    environment
}

fn mounts(family: Family<'_>, access: Access) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("manifest", "/etc/anf/manifest", true), mount("key", "/etc/anf/key", true)];
    if access.tun {
        mounts.push(mount("tun", "/dev/net/tun", false));
    }
    mounts.extend(family.image.link_directory.as_ref().map(|_| links::mount()));
    mounts
}

fn volumes(family: Family<'_>, part: &Part, access: Access) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "manifest".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::config_map(&family.id.name, part.name()),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "key".into(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(names::secret(&family.id.name, &family.id.uid)),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    if access.tun {
        volumes.push(Volume {
            name: "tun".into(),
            host_path: Some(HostPathVolumeSource {
                path: "/dev/net/tun".into(),
                type_: Some("CharDevice".into()),
            }),
            ..Volume::default()
        });
    }
    volumes.extend(family.image.link_directory.as_ref().map(|host| links::volume(host, &family.id.uid)));
    volumes
}

fn pod_security(access: Access) -> PodSecurityContext {
    let user = if access.needs_root() { 0 } else { NOBODY };
    PodSecurityContext {
        run_as_non_root: Some(!access.needs_root()),
        run_as_user: Some(user),
        run_as_group: Some(user),
        // The key's file belongs to this group.
        fs_group: Some(user),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn node_selector(placement: &Placement, purpose: &Purpose<'_>) -> Option<BTreeMap<String, String>> {
    let mut selector = placement.node_selector.clone();
    if let Purpose::Target { selector: Some(more), .. } = purpose {
        selector.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    (!selector.is_empty()).then_some(selector)
}

/// The user's affinity, with what co-location and a migration add to it.
fn affinity(family: Family<'_>, placement: &Placement, purpose: &Purpose<'_>) -> Option<Affinity> {
    let mut affinity = placement.affinity.clone().unwrap_or_default();
    co_locate(&mut affinity, family);
    if let Purpose::Target { place, .. } = purpose {
        restrict(affinity.node_affinity.get_or_insert_default(), *place);
    }
    (affinity != Affinity::default()).then_some(affinity)
}

fn co_locate(affinity: &mut Affinity, family: Family<'_>) {
    let term = PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(labels::LABEL_FUNCTION.to_owned(), family.id.name.clone())])),
            ..LabelSelector::default()
        }),
        topology_key: HOST_NAME_KEY.into(),
        ..PodAffinityTerm::default()
    };
    let weighted = |term| WeightedPodAffinityTerm { weight: 50, pod_affinity_term: term };
    match family.co_location {
        CoLocation::Prefer => {
            let pods: &mut PodAffinity = affinity.pod_affinity.get_or_insert_default();
            pods.preferred_during_scheduling_ignored_during_execution
                .get_or_insert_default()
                .push(weighted(term));
        }
        CoLocation::Require => {
            let pods: &mut PodAffinity = affinity.pod_affinity.get_or_insert_default();
            pods.required_during_scheduling_ignored_during_execution.get_or_insert_default().push(term);
        }
        CoLocation::Spread => {
            let pods: &mut PodAntiAffinity = affinity.pod_anti_affinity.get_or_insert_default();
            pods.preferred_during_scheduling_ignored_during_execution
                .get_or_insert_default()
                .push(weighted(term));
        }
    }
}

/// Adds the place to *every* term, since terms are alternatives.
fn restrict(nodes: &mut NodeAffinity, place: Place<'_>) {
    let (operator, node) = match place {
        Place::On(node) => ("In", node),
        Place::NotOn(node) => ("NotIn", node),
    };
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: operator.into(),
        values: Some(vec![node.to_owned()]),
    };
    let required: &mut NodeSelector =
        nodes.required_during_scheduling_ignored_during_execution.get_or_insert_default();
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields.get_or_insert_default().push(requirement.clone());
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
