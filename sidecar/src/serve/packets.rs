//! Packets in a data frame: for each a four-byte length (of the bytes), the edge's annotations in fixed order, then the
//! bytes. Only what the far side reads before writing it crosses, as the cut found out. Where that includes a header's
//! place or what Unstrip gives back, bytes in front of the packet may cross, too; a byte says how many.

use anf_click::Annotations;
use bytes::{Buf, BufMut, BytesMut};

use crate::engine::Time;
use crate::packet::{MAX_LENGTH, Packet, PacketType};

/// Stands for an offset that is not set.
const NO_OFFSET: i16 = i16::MIN;

fn put_offset(out: &mut BytesMut, offset: Option<isize>) {
    let narrow = offset.and_then(|offset| i16::try_from(offset).ok());
    out.put_i16(narrow.unwrap_or(NO_OFFSET));
}

fn take_offset(body: &mut &[u8]) -> Option<isize> {
    let offset = body.get_i16();
    (offset != NO_OFFSET).then_some(isize::from(offset))
}

/// Most bytes in front of a packet that cross with it.
const MOST_FRONT: usize = 128;

/// The annotations that mean bytes which may have been stripped.
const POINTS_AHEAD: Annotations = Annotations::NETWORK_HEADER
    .union(Annotations::TRANSPORT_HEADER)
    .union(Annotations::MAC_HEADER)
    .union(Annotations::FRONT);

/// How many bytes in front of the packet have to cross.
fn front(packet: &Packet, annotations: Annotations) -> usize {
    let mut front = 0;
    let mut need = |one: Annotations, offset: Option<isize>| {
        if annotations.contains(one)
            && let Some(offset @ ..0) = offset
        {
            front = front.max(offset.unsigned_abs());
        }
    };
    need(Annotations::NETWORK_HEADER, packet.network_offset());
    need(Annotations::NETWORK_HEADER, packet.transport_offset());
    need(Annotations::TRANSPORT_HEADER, packet.transport_offset());
    need(Annotations::MAC_HEADER, packet.mac_offset());
    if annotations.contains(Annotations::FRONT) {
        front = packet.headroom();
    }
    front.min(packet.headroom()).min(MOST_FRONT)
}

/// Bytes that the annotations of a packet take.
fn width(annotations: Annotations) -> usize {
    let of = |one: Annotations| match one {
        Annotations::PAINT
        | Annotations::PACKET_TYPE
        | Annotations::ICMP_PARAM_PROB
        | Annotations::FIX_IP_SRC => 1,
        Annotations::TRANSPORT_HEADER | Annotations::MAC_HEADER | Annotations::VLAN => 2,
        Annotations::DST_IP | Annotations::NETWORK_HEADER | Annotations::AGGREGATE => 4,
        Annotations::EXTRA_LENGTH | Annotations::EXTRA_PACKETS => 4,
        Annotations::TIMESTAMP | Annotations::FIRST_TIMESTAMP => 8,
        _ => 0,
    };
    let ahead = usize::from(!annotations.intersection(POINTS_AHEAD).is_empty());
    ahead + annotations.iter().map(of).sum::<usize>()
}

/// Appends one packet.
pub fn encode(packet: &Packet, annotations: Annotations, out: &mut BytesMut) {
    let ahead = !annotations.intersection(POINTS_AHEAD).is_empty();
    let front = if ahead { front(packet, annotations) } else { 0 };
    // Room is made once for all.
    out.reserve(4 + width(annotations) + front + packet.len());
    out.put_u32((front + packet.len()) as u32);
    if ahead {
        out.put_u8(front as u8);
    }
    let anno = packet.anno();
    for one in annotations.iter() {
        match one {
            Annotations::PAINT => out.put_u8(anno.paint),
            Annotations::DST_IP => out.put_slice(&anno.dst_ip.octets()),
            Annotations::NETWORK_HEADER => {
                put_offset(out, packet.network_offset());
                put_offset(out, packet.transport_offset());
            }
            Annotations::TRANSPORT_HEADER => put_offset(out, packet.transport_offset()),
            Annotations::MAC_HEADER => put_offset(out, packet.mac_offset()),
            Annotations::VLAN => out.put_u16(anno.vlan_tci),
            Annotations::AGGREGATE => out.put_u32(anno.aggregate),
            Annotations::TIMESTAMP => out.put_u64(anno.timestamp.0),
            Annotations::FIRST_TIMESTAMP => out.put_u64(anno.first_timestamp.0),
            Annotations::EXTRA_LENGTH => out.put_u32(anno.extra_length),
            Annotations::EXTRA_PACKETS => out.put_u32(anno.extra_packets),
            Annotations::PACKET_TYPE => out.put_u8(anno.packet_type as u8),
            Annotations::ICMP_PARAM_PROB => out.put_u8(anno.icmp_param_prob),
            Annotations::FIX_IP_SRC => out.put_u8(u8::from(anno.fix_ip_src)),
            _ => {}
        }
    }
    out.put_slice(packet.front(front));
    out.put_slice(packet.data());
}

/// Takes the next packet from a body; `None` when the body is malformed. Offsets that lie outside are left unset.
pub fn decode(body: &mut &[u8], annotations: Annotations) -> Option<Packet> {
    if body.len() < 4 {
        return None;
    }
    let len = body.get_u32() as usize;
    let width = width(annotations);
    if len > MAX_LENGTH || body.len() < width + len {
        return None;
    }
    let (mut fields, rest) = body.split_at(width);
    let (bytes, rest) = rest.split_at(len);
    *body = rest;
    let mut packet = Packet::from_slice(bytes);
    let ahead = !annotations.intersection(POINTS_AHEAD).is_empty();
    if ahead && !packet.strip_front(usize::from(fields.get_u8())) {
        return None;
    }
    for one in annotations.iter() {
        match one {
            Annotations::PAINT => packet.anno_mut().paint = fields.get_u8(),
            Annotations::DST_IP => packet.anno_mut().dst_ip = fields.get_u32().into(),
            Annotations::NETWORK_HEADER => {
                let (network, transport) = (take_offset(&mut fields), take_offset(&mut fields));
                packet.set_network_offset(network);
                packet.set_transport_offset(transport);
            }
            Annotations::TRANSPORT_HEADER => packet.set_transport_offset(take_offset(&mut fields)),
            Annotations::MAC_HEADER => packet.set_mac_offset(take_offset(&mut fields)),
            Annotations::VLAN => packet.anno_mut().vlan_tci = fields.get_u16(),
            Annotations::AGGREGATE => packet.anno_mut().aggregate = fields.get_u32(),
            Annotations::TIMESTAMP => packet.anno_mut().timestamp = Time(fields.get_u64()),
            Annotations::FIRST_TIMESTAMP => packet.anno_mut().first_timestamp = Time(fields.get_u64()),
            Annotations::EXTRA_LENGTH => packet.anno_mut().extra_length = fields.get_u32(),
            Annotations::EXTRA_PACKETS => packet.anno_mut().extra_packets = fields.get_u32(),
            Annotations::PACKET_TYPE => {
                packet.anno_mut().packet_type = PacketType::from_number(fields.get_u8())
            }
            Annotations::ICMP_PARAM_PROB => packet.anno_mut().icmp_param_prob = fields.get_u8(),
            Annotations::FIX_IP_SRC => packet.anno_mut().fix_ip_src = fields.get_u8() != 0,
            _ => {}
        }
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_crosses_with_the_annotations_of_its_edge_and_no_others() {
        let mut packet = Packet::from_slice(&[5; 60]);
        packet.set_network_header(14, 20);
        packet.anno_mut().paint = 3;
        packet.anno_mut().dst_ip = [10, 0, 0, 1].into();
        packet.anno_mut().aggregate = 77;
        let annotations = Annotations::PAINT | Annotations::DST_IP | Annotations::NETWORK_HEADER;
        let mut out = BytesMut::new();
        encode(&packet, annotations, &mut out);
        let mut body = &out[..];
        let back = decode(&mut body, annotations).unwrap();
        assert!(body.is_empty());
        assert_eq!((back.data(), back.anno().paint, back.anno().aggregate), (packet.data(), 3, 0));
        assert_eq!(back.anno().dst_ip, packet.anno().dst_ip);
        assert_eq!((back.network_offset(), back.transport_offset()), (Some(14), Some(34)));
    }

    #[test]
    fn what_was_stripped_crosses_if_the_far_side_looks_at_it() {
        let mut packet = Packet::from_slice(b"ethernet header ip header payload");
        packet.set_mac_offset(Some(0));
        packet.set_network_header(16, 10);
        assert!(packet.strip_front(26));
        let across = |annotations: Annotations| {
            let mut out = BytesMut::new();
            encode(&packet, annotations, &mut out);
            let back = decode(&mut &out[..], annotations).unwrap();
            assert_eq!(back.data(), b"payload");
            back
        };
        assert_eq!(across(Annotations::NETWORK_HEADER).network(), b"ip header payload");
        assert_eq!(across(Annotations::MAC_HEADER).mac(), packet.mac());
        let mut whole = across(Annotations::FRONT);
        whole.grow_front(26);
        assert_eq!(whole.data(), packet.mac());
        assert_eq!(across(Annotations::PAINT).headroom(), Packet::from_slice(b"").headroom());
    }

    #[test]
    fn every_annotation_has_a_width_that_its_encoding_keeps() {
        let packet = Packet::with_headroom(0, &[]);
        for one in Annotations::ALL.iter() {
            let mut out = BytesMut::new();
            encode(&packet, one, &mut out);
            assert_eq!(out.len(), 4 + width(one), "{one}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), annotations: u64) {
            let mut body = &bytes[..];
            while decode(&mut body, Annotations(annotations & Annotations::ALL.0)).is_some() {}
        }
    }
}
