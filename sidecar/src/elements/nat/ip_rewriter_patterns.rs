//! IPRewriterPatterns: names for rewriting patterns, to be used by several inputs or elements.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::pattern::Pattern;
use crate::config::split_words;
use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "IPRewriterPatterns",
    summary: "specifies shared IPRewriter patterns",
    ports: "0/0",
    args: &[Arg::rest("NAME", "SADDR SPORT DADDR DPORT", "a name and the pattern that it stands for")],
    global: true,
    details: "Patterns that several rewriters share by name. They then share their ports too.",
    example: r#"
        IPRewriterPatterns(public 192.0.2.1 5000-5001# - -);
        RatedSource(DATA "query", RATE 10, LIMIT 12, STOP true) -> s :: RoundRobinSwitch;
        s[0] -> UDPIPEncap(10.0.0.1, 1024, 20.0.0.9, 53) -> in :: Null;
        s[1] -> UDPIPEncap(10.0.0.2, 1024, 20.0.0.9, 53) -> in;
        s[2] -> UDPIPEncap(10.0.0.1, 1025, 20.0.0.8, 80) -> in;
        in -> first :: IPClassifier(src host 10.0.0.1, -);
        a :: IPRewriter(pattern public 0 0);
        b :: IPRewriter(pattern public 0 0);
        first[0] -> a -> IPPrint(a) -> Discard;
        first[1] -> b -> IPPrint(b) -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

/// The named patterns of one such element.
pub(crate) struct IpRewriterPatterns {
    patterns: BTreeMap<String, Pattern>,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let mut patterns = BTreeMap::new();
    let mut problems = Vec::new();
    for text in args.rest() {
        let words = split_words(text);
        let Some((name, fields)) = words.split_first() else { continue };
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let address_of = |word: &str| args.parse::<Ipv4Addr>("address", word).ok();
        match Pattern::parse(&fields, &address_of) {
            Ok(pattern) if !patterns.contains_key(name) => {
                patterns.insert(name.clone(), pattern);
            }
            Ok(_) => problems.push(format!("pattern '{name}' already defined")),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Box::new(IpRewriterPatterns { patterns }))
    } else {
        Err(ConfigError(problems))
    }
}

impl IpRewriterPatterns {
    /// The pattern of a name, whichever element of the graph defines it.
    pub(super) fn find(cx: &mut Cx<'_>, name: &str) -> Result<Pattern, String> {
        let definers: Vec<_> = cx
            .all_elements()
            .filter(|(_, _, class)| class.class == DESCRIPTOR.class)
            .map(|(id, ..)| id)
            .collect();
        let found =
            definers.into_iter().find_map(|id| cx.element_mut::<Self>(id)?.patterns.get(name).copied());
        found.ok_or_else(|| format!("no such pattern '{name}'"))
    }
}

impl Element for IpRewriterPatterns {}
