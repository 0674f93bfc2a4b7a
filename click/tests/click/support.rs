//! A small catalogue of element classes, and shorter ways to call the stages.

use anf_click::{
    Annotations as A, Catalog, ClassInfo, Cut, Diagnostics, FlatGraph, Load, PartSpec, Queueing,
    SettledGraph, cut, flatten, parse, settle,
};

/// Class, port counts, processing, flow, reads, writes.
type Row = (&'static str, &'static str, &'static str, &'static str, A, A);

const NONE: A = A::NONE;
const NET: A = A::NETWORK_HEADER;

const CLASSES: &[Row] = &[
    ("Source", "0/1", "h", "x/x", NONE, NONE),
    ("InfiniteSource", "0/1", "a", "x/x", NONE, A::TIMESTAMP),
    ("FromDump", "0/1-2", "a/ah", "x/x", NONE, A::TIMESTAMP),
    ("Discard", "1/0", "a", "x/x", NONE, NONE),
    ("Idle", "-/-", "a/a", "x/y", NONE, NONE),
    ("Null", "1/1", "a/a", "x/x", NONE, NONE),
    ("Counter", "1/1", "a/a", "x/x", NONE, NONE),
    ("Tee", "1/1-", "h/h", "x/x", NONE, NONE),
    ("Switch", "1/1-", "h/h", "x/x", NONE, NONE),
    ("Queue", "1/1", "h/l", "x/x", NONE, NONE),
    ("Unqueue", "1/1", "l/h", "x/x", NONE, NONE),
    ("RoundRobinSched", "1-/1", "l/l", "x/x", NONE, NONE),
    ("Classifier", "1/1-", "h/h", "x/x", NONE, NONE),
    ("IPClassifier", "1/1-", "h/h", "x/x", NET, NONE),
    ("Strip", "1/1", "a/a", "x/x", NONE, NONE),
    ("MarkIPHeader", "1/1", "a/a", "x/x", NONE, NET.union(A::TRANSPORT_HEADER)),
    ("CheckIPHeader", "1/1-2", "a/ah", "x/x", NONE, NET.union(A::TRANSPORT_HEADER).union(A::DST_IP)),
    ("Paint", "1/1", "a/a", "x/x", NONE, A::PAINT),
    ("RED", "1/1-2", "a/ah", "x/x", NONE, NONE),
    ("PaintTee", "1/2", "a/ah", "x/x", A::PAINT, NONE),
    ("DropBroadcasts", "1/1", "a/a", "x/x", A::PACKET_TYPE, NONE),
    ("IPGWOptions", "1/2", "a/ah", "x/x", NET, A::ICMP_PARAM_PROB),
    ("FixIPSrc", "1/1", "a/a", "x/x", A::FIX_IP_SRC.union(NET), NONE),
    ("DecIPTTL", "1/1-2", "a/ah", "x/x", NET, NONE),
    ("IPFragmenter", "1/1-2", "h/h", "x/x", NET, NONE),
    ("ICMPError", "1/1", "h/h", "x/x", NET, A::DST_IP.union(A::FIX_IP_SRC).union(NET)),
    ("RadixIPLookup", "1/-", "h/h", "x/x", A::DST_IP, A::DST_IP),
    ("EtherEncap", "1/1", "a/a", "x/x", NONE, A::MAC_HEADER),
    ("ARPResponder", "1/1", "a/a", "x/x", NONE, A::MAC_HEADER),
    ("ARPQuerier", "2/1-2", "h/h", "xy/x", A::DST_IP, A::MAC_HEADER),
    ("IPRewriter", "1-/1-", "h/h", "x/x", NET.union(A::TRANSPORT_HEADER), NONE),
    ("ICMPRewriter", "1-2/1-2", "h/h", "x/x", NET, NONE),
    ("AggregateIPFlows", "1/1", "a/a", "x/x", NET, A::AGGREGATE),
    ("AggregateCounter", "1/1", "a/a", "x/x", A::AGGREGATE, NONE),
    ("Socket", "0-1/0-1", "a/h", "x/y", NONE, NONE),
    ("Script", "0/0", "a/a", "x/x", NONE, NONE),
    ("DriverManager", "0/0", "a/a", "x/x", NONE, NONE),
    ("AddressInfo", "0/0", "a/a", "x/x", NONE, NONE),
    ("ScheduleInfo", "0/0", "a/a", "x/x", NONE, NONE),
    ("Pass", "1-/=", "a/a", "#/#", NONE, NONE),
    ("PassPlus", "1-/=+", "h/h", "#/[^#]", NONE, NONE),
    ("ToLink", "1/0", "h/a", "x/x", NONE, NONE),
    ("FromLink", "0/1", "a/h", "x/x", NONE, NONE),
    ("ToLinkPull", "1/0", "l/a", "x/x", NONE, NONE),
    ("FromLinkPull", "0/1", "a/l", "x/x", NONE, NONE),
];

/// The catalogue.
pub(crate) struct Classes;

impl Catalog for Classes {
    fn class(&self, class: &str) -> Option<ClassInfo> {
        let (name, ports, processing, flow, reads, writes) = *CLASSES.iter().find(|row| row.0 == class)?;
        let global = matches!(name, "AddressInfo" | "ScheduleInfo");
        let queue = name == "Queue";
        let queueing = Queueing {
            fifo: queue,
            tells_full: queue,
            heeds_full: name == "InfiniteSource",
            stores: queue,
            looks_for_queues: name == "RED",
        };
        let load = match name {
            "IPRewriter" => Load::of(45),
            "Tee" => Load { copies: true, ..Load::LIGHT },
            _ => Load::LIGHT,
        };
        Some(ClassInfo { ports, processing, flow, reads, writes, global, keeps_order: true, queueing, load })
    }

    fn class_names(&self) -> Vec<&str> {
        CLASSES.iter().map(|row| row.0).collect()
    }

    fn ties(&self, class: &str, config: &str) -> Vec<String> {
        let arguments = anf_click::config::split(config);
        match class {
            "ICMPRewriter" => arguments,
            "Script" | "DriverManager" => arguments
                .iter()
                .flat_map(|argument| anf_click::config::words(argument))
                .filter_map(|word| {
                    Some(word.trim_matches(['"', '$', '(', ')']).split_once('.')?.0.to_owned())
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

pub(crate) fn flat(text: &str) -> Result<FlatGraph, Diagnostics> {
    flatten(&parse("t.click", text)?, &[])
}

pub(crate) fn settled(text: &str) -> Result<SettledGraph, Diagnostics> {
    settle(flat(text)?, &Classes)
}

pub(crate) fn parts(specs: &[(&str, &[&str])]) -> Vec<PartSpec> {
    let owned = |elements: &[&str]| elements.iter().map(ToString::to_string).collect();
    specs
        .iter()
        .map(|(name, elements)| PartSpec { name: name.to_string(), elements: owned(elements) })
        .collect()
}

pub(crate) fn cut_up(text: &str, specs: &[(&str, &[&str])]) -> Result<Cut, Diagnostics> {
    cut(&settled(text)?, &parts(specs), &Classes)
}

/// Elements as `name :: Class(config)` and connections as `a[0] -> [1]b`.
pub(crate) fn lines(graph: &FlatGraph) -> Vec<String> {
    graph
        .to_string()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect()
}

/// `line:column: message` of each error.
pub(crate) fn errors<T: std::fmt::Debug>(result: Result<T, Diagnostics>) -> Vec<String> {
    let Diagnostics(found) = result.unwrap_err();
    found.iter().map(|d| format!("{}:{}: {}", d.pos.line, d.pos.column, d.message)).collect()
}

/// Descriptions of all classes.
pub(crate) fn class_infos() -> Vec<ClassInfo> {
    CLASSES.iter().filter_map(|row| Classes.class(row.0)).collect()
}
