//! A packet as state: bytes, header offsets and annotations, for queues that move with their sub-function.

use super::buffer::{Anno, Packet, PacketType};
use crate::engine::Time;
use crate::state::{Reader, StateError, Writer};

/// Bytes before the data that are kept, since Unstrip may want them back.
const FRONT: usize = 128;

impl Packet {
    /// Writes the whole packet.
    pub fn save(&self, w: &mut Writer) {
        let bytes = self.data_from(FRONT);
        w.put_u16((bytes.len() - self.len()) as u16);
        w.put_bytes(bytes);
        for offset in [self.mac_offset(), self.network_offset(), self.transport_offset()] {
            // Offsets fit: they lie within a buffer. i32::MIN stands for none.
            w.put_u32(offset.map_or(i32::MIN, |o| o as i32) as u32);
        }
        let anno = self.anno();
        w.put_u64(anno.timestamp.0);
        w.put_u64(anno.first_timestamp.0);
        w.put_u8(anno.paint);
        w.put_u8(anno.packet_type as u8);
        w.put_u16(anno.vlan_tci);
        w.put_raw(&anno.dst_ip.octets());
        w.put_u32(anno.aggregate);
        w.put_u8(anno.icmp_param_prob);
        w.put_bool(anno.fix_ip_src);
        w.put_u32(anno.extra_length);
        w.put_u32(anno.extra_packets);
    }

    /// Reads what [`Packet::save`] wrote.
    pub fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let front = r.get_u16()?;
        let mut packet = Self::from_slice(r.get_bytes()?);
        if !packet.strip_front(front.into()) {
            return Err(StateError::Invalid { what: "bytes before a packet", value: front.into() });
        }
        let mut offset = || -> Result<Option<isize>, StateError> {
            let stored = r.get_u32()? as i32;
            Ok((stored != i32::MIN).then_some(stored as isize))
        };
        let (mac, network, transport) = (offset()?, offset()?, offset()?);
        packet.set_mac_offset(mac);
        packet.set_network_offset(network);
        packet.set_transport_offset(transport);
        *packet.anno_mut() = Anno {
            timestamp: Time(r.get_u64()?),
            first_timestamp: Time(r.get_u64()?),
            paint: r.get_u8()?,
            packet_type: PacketType::from_number(r.get_u8()?),
            vlan_tci: r.get_u16()?,
            dst_ip: r.get_u32()?.into(),
            aggregate: r.get_u32()?,
            icmp_param_prob: r.get_u8()?,
            fix_ip_src: r.get_bool()?,
            extra_length: r.get_u32()?,
            extra_packets: r.get_u32()?,
        };
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripped_bytes_come_back() {
        let mut packet = Packet::from_slice(b"header and data");
        packet.set_mac_offset(Some(0));
        assert!(packet.strip_front(7));
        let mut w = Writer::new();
        packet.save(&mut w);
        let mut back = Packet::restore(&mut Reader::new(w.as_bytes())).unwrap();
        assert_eq!((back.data(), back.mac_offset()), (&b"and data"[..], Some(-7)));
        back.grow_front(7);
        assert_eq!(back.data(), b"header and data");
    }

    #[test]
    fn a_packet_is_read_back_as_it_was_saved() {
        let mut packet = Packet::from_slice(&[7; 40]);
        packet.set_network_header(4, 20);
        packet.anno_mut().paint = 9;
        packet.anno_mut().dst_ip = [10, 0, 0, 1].into();
        let mut w = Writer::new();
        packet.save(&mut w);
        let mut r = Reader::new(w.as_bytes());
        let back = Packet::restore(&mut r).unwrap();
        assert!(r.is_empty());
        assert_eq!((back.data(), back.anno()), (packet.data(), packet.anno()));
        assert_eq!((back.network_offset(), back.mac_offset()), (Some(4), None));
        assert!(Packet::restore(&mut Reader::new(&w.as_bytes()[..30])).is_err());
    }
}
