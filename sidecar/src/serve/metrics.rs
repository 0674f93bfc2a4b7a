//! The sidecar's metrics in the OpenMetrics text form, made from its status: base units, bounded labels.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::control::{Direction, Role, Status};

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Values = Family<Labels, Gauge>;

/// All metrics of one sidecar.
pub(super) fn render(status: &Status, function: &str) -> String {
    let common = [("function", function), ("subfunction", &status.sub_function)];
    let common = common.map(|(name, value)| (name.into(), value.to_string().into()));
    let mut registry = Registry::with_prefix_and_labels("anf", common.into_iter());
    register_node(&mut registry, status);
    register_links(&mut registry, status);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_node(registry: &mut Registry, status: &Status) {
    let number = |value: u64| ConstGauge::new(value as i64);
    registry.register("owner", "1 for the owner", number(u64::from(status.role == Role::Owner)));
    registry.register("epoch", "Epoch", number(status.epoch));
    registry.register("flows", "Records in the flow tables", number(status.flows));
    registry.register("packets_taken", "Packets taken in", number(status.packets));
    registry.register(
        "state_store_up",
        "1 if the state store answers",
        number(u64::from(status.store.reachable)),
    );
    registry.register("state_lag_frames", "Frames not yet stored", number(status.store.lag_frames));
    let drops = Values::default();
    for (at, count) in &status.drops {
        let (element, reason) = at.rsplit_once('/').unwrap_or((at, ""));
        drops.get_or_create(&vec![("element", element.into()), ("reason", reason.into())]).set(*count as i64);
    }
    registry.register("drops", "Packets dropped", drops);
}

fn register_links(registry: &mut Registry, status: &Status) {
    let (up, packets, lost) = (Values::default(), Values::default(), Values::default());
    let (repeated, kept) = (Values::default(), Values::default());
    let (transport, unread) = (Values::default(), Values::default());
    for link in &status.links {
        let direction = match link.direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let labels: Labels = vec![("peer", link.peer.clone()), ("direction", direction.into())];
        up.get_or_create(&labels).set(i64::from(link.connected));
        packets.get_or_create(&labels).set(link.packets as i64);
        lost.get_or_create(&labels).set(link.lost as i64);
        repeated.get_or_create(&labels).set(link.repeated as i64);
        kept.get_or_create(&labels).set(link.kept as i64);
        unread.get_or_create(&labels).set(link.unread_bytes as i64);
        if link.connected {
            let labels = [labels, vec![("transport", link.transport.clone())]].concat();
            transport.get_or_create(&labels).set(1);
        }
    }
    registry.register("link_up", "1 for a link with a connection", up);
    registry.register("link_packets", "Packets of the link's edges", packets);
    registry.register("link_lost_packets", "Packets that a full link dropped, or that never came", lost);
    registry.register("link_repeated_packets", "Packets sent again, or left out because known", repeated);
    let ends = Values::default();
    for (cause, count) in &status.link_ends {
        ends.get_or_create(&vec![("cause", cause.clone())]).set(*count as i64);
    }
    registry.register("link_transport", "1 for the transport that carries the link", transport);
    registry.register("link_unread_bytes", "Bytes that wait to be sent or taken by the peer", unread);
    registry.register("link_ends", "Connections of links that ended, by cause", ends);
    registry.register("link_kept_packets", "Packets kept until they are safe", kept);
}
