use super::super::fixtures::{STORE, function_with, image, observed};
use super::super::validate::validate;
use super::*;
use kube::Resource;
use serde_json::{Value, json};

/// The pod of the only part of a function, as JSON.
fn made(spec: Value, purpose: &Purpose<'_>) -> Value {
    made_of(&image(), spec, purpose)
}

/// The same with another image.
fn made_of(image: &Image, mut spec: Value, purpose: &Purpose<'_>) -> Value {
    if spec.get("click").is_none() {
        spec["click"] = json!("Idle -> Discard;");
    }
    let function = function_with(spec);
    let observed = observed(&function);
    let validated = validate(&observed, STORE);
    assert_eq!(validated.rejection, None);
    let owner = function.controller_owner_ref(&()).expect("an owner");
    let family = Family { id: &observed.id, owner: &owner, co_location: function.spec.co_location, image };
    let pod = pod(family, &validated.parts[0], "p".into(), purpose);
    serde_json::to_value(pod).expect("a pod")
}

fn own() -> Purpose<'static> {
    Purpose::Own { epoch: 2 }
}

fn with_port(port: Value) -> Value {
    json!({"click": "FromDevice(lan) -> Discard;", "ports": [port]})
}

fn env<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    let all = pod["spec"]["containers"][0]["env"].as_array()?;
    all.iter().find(|env| env["name"] == name)?["value"].as_str()
}

#[test]
fn without_a_port_it_runs_as_nobody_with_nothing() {
    let pod = made(json!({}), &own());
    let container = &pod["spec"]["containers"][0];
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert!(pod["spec"].get("hostNetwork").is_none());
    assert_eq!(env(&pod, "ANF_LINK_PORT"), Some("7000"));
    assert_eq!(env(&pod, "ANF_CLAIM_EPOCH"), Some("2"));
}

#[test]
fn a_node_port_takes_the_host_network_and_declares_its_ports() {
    let pod = made(with_port(json!({"name": "lan", "node": {"interface": "eth0"}})), &own());
    assert_eq!(pod["spec"]["hostNetwork"], true);
    assert_eq!(pod["spec"]["dnsPolicy"], "ClusterFirstWithHostNet");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["capabilities"]["add"], json!(["NET_RAW"]));
    let link = container["ports"][0]["hostPort"].as_u64().expect("a host port");
    assert!((20_000..30_000).contains(&link));
    assert_eq!(env(&pod, "ANF_LINK_PORT"), Some(link.to_string().as_str()));
}

#[test]
fn a_pod_port_needs_raw_sockets_but_not_the_host() {
    let pod = made(with_port(json!({"name": "lan", "pod": {"interface": "eth0"}})), &own());
    assert!(pod["spec"].get("hostNetwork").is_none());
    assert_eq!(pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"], json!(["NET_RAW"]));
}

#[test]
fn a_target_waits_and_is_bound_to_its_place_in_every_alternative() {
    let spec = json!({
        "subFunctions": [{"name": "s", "elements": ["*"], "placement": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                {"matchExpressions": [{"key": "b", "operator": "Exists"}]}]}}}}}]
    });
    let labels = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
    let purpose = Purpose::Target { migration: "m", place: Place::On("w2"), selector: Some(&labels) };
    let pod = made(spec, &purpose);
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    for term in required["nodeSelectorTerms"].as_array().expect("terms") {
        assert_eq!(
            term["matchFields"],
            json!([{"key": "metadata.name", "operator": "In", "values": ["w2"]}])
        );
        assert!(term["matchExpressions"].is_array());
    }
    assert_eq!(env(&pod, "ANF_STANDBY"), Some("true"));
    assert_eq!(pod["metadata"]["labels"]["atomicnf.dev/role"], "target");
    assert_eq!(pod["metadata"]["labels"]["atomicnf.dev/migration"], "m");
    assert_eq!(pod["spec"]["nodeSelector"]["disk"], "fast");
}

#[test]
fn co_location_becomes_affinity_to_pods_of_the_function() {
    let affinity =
        |co_location: &str| made(json!({"coLocation": co_location}), &own())["spec"]["affinity"].clone();
    let kind = "preferredDuringSchedulingIgnoredDuringExecution";
    assert_eq!(affinity("Prefer")["podAffinity"][kind][0]["podAffinityTerm"]["topologyKey"], HOST_NAME_KEY);
    assert_eq!(
        affinity("Spread")["podAntiAffinity"][kind][0]["podAffinityTerm"]["topologyKey"],
        HOST_NAME_KEY
    );
    let required = &affinity("Require")["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(required[0]["labelSelector"]["matchLabels"]["atomicnf.dev/function"], "f");
}

#[test]
fn a_long_name_becomes_a_legal_label() {
    let value = label_value(&format!("{}-x", "a".repeat(62)));
    assert_eq!(value, "a".repeat(62));
}

#[test]
fn pods_of_a_function_share_a_directory_of_their_node_if_the_cluster_allows_it() {
    let shares = Image { link_directory: Some("/run/atomicnf/".into()), ..image() };
    let pod = made_of(&shares, json!({}), &own());
    assert_eq!(env(&pod, "ANF_LINK_DIRECTORY"), Some("/run/anf"));
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let path = volumes.iter().find_map(|volume| volume["hostPath"]["path"].as_str()).expect("a host path");
    let uid = path.strip_prefix("/run/atomicnf/").expect("under the node's directory");
    assert!(!uid.is_empty() && !uid.contains('/'), "one of its own for each function: {path}");
    let opener = &pod["spec"]["initContainers"][0];
    assert_eq!(opener["args"], json!(["share-directory", "/run/anf"]));
    assert_eq!(opener["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(opener["resources"], pod["spec"]["containers"][0]["resources"]);

    let root = made_of(&shares, with_port(json!({"name": "lan", "pod": {"interface": "eth0"}})), &own());
    assert!(root["spec"].get("initContainers").is_none(), "root owns the directory");

    let alone = made(json!({}), &own());
    assert!(alone["spec"].get("initContainers").is_none() && !alone.to_string().contains("/run/anf"));
}
