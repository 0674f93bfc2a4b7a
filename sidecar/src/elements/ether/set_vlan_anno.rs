//! SetVLANAnno: sets the VLAN annotation.

use super::vlan::{ID_HANDLER, PCP, PCP_HANDLER, TCI_HANDLER, Tag, VLAN_ID};
use crate::element::{
    Annotations, Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, HandlerError, StateKind,
};
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "SetVLANAnno",
    summary: "sets VLAN annotation",
    args: &[Arg::optional("VLAN_TCI", "0-65535", "", "identifier and priority in one"), PCP, VLAN_ID],
    writes: Annotations::VLAN,
    handlers: &[TCI_HANDLER, ID_HANDLER, PCP_HANDLER],
    state: StateKind::Small,
    details: "The annotation is what VLANEncap and EtherVLANEncap put into the tag when they are told ANNO.",
    example: r#"
        InfiniteSource(DATA \<0a0a0a0a0a0a 0b0b0b0b0b0b 0800 01>, LIMIT 4, STOP true)
            -> v :: SetVLANAnno(VLAN_ID 5, VLAN_PCP 1)
            -> VLANEncap(ANNO)
            -> Print
            -> c :: Counter(COUNT_CALL 2 v.vlan_id 7)
            -> Discard;
        DriverManager(wait_stop, print "tci $(v.vlan_tci), id $(v.vlan_id), pcp $(v.vlan_pcp)");
    "#,
    build,
    ..Descriptor::BASE
};

struct SetVlanAnno(Tag);

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(SetVlanAnno(Tag::fixed(args)?)))
}

impl Element for SetVlanAnno {
    #[inline]
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            packet.anno_mut().vlan_tci = self.0.tci();
        }
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        self.0.read(handler)
    }

    fn write(&mut self, _cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.0.write(handler, value)
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for SetVlanAnno {
    fn schema(&self) -> Schema {
        Schema { name: "set-vlan-anno", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.0.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.restore(r)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn identifier_and_priority_are_set_in_one_or_apart() {
        let mut bench = Bench::new(
            "a :: TestIn -> s :: SetVLANAnno(0x2005) -> x :: TestOut;
             b :: TestIn -> SetVLANAnno(VLAN_ID 5, VLAN_PCP 1) -> y :: TestOut;",
        );
        bench.push("a", b"1");
        bench.push("b", b"2");
        assert_eq!(bench.take_packets("x")[0].anno().vlan_tci, 0x2005);
        assert_eq!(bench.take_packets("y")[0].anno().vlan_tci, 0x2005);
        bench.router.write_handler("s", "vlan_id", "7").unwrap();
        bench.router.write_handler("s", "vlan_pcp", "2").unwrap();
        assert_eq!(bench.read("s", "vlan_tci"), (0x4007).to_string());
        bench.push("a", b"1");
        assert_eq!(bench.take_packets("x")[0].anno().vlan_tci, 0x4007);
    }

    #[test]
    fn a_priority_of_more_than_three_bits_is_refused() {
        let error = Bench::error("Idle -> SetVLANAnno(1, 8) -> Discard;");
        assert!(error.contains("VLAN_PCP: out of range, maximum is 7"), "{error}");
    }
}
