//! Completing the transport checksum of a frame whose sender left it to its hardware.

use crate::wire::checksum::Sum;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Computes and stores the TCP or UDP checksum of an Ethernet frame with IPv4 or IPv6, VLAN tags or none. Frames that
/// are anything else, or cut short, stay as they are.
pub(super) fn complete_checksum(frame: &mut [u8]) {
    let _ = try_complete(frame);
}

fn try_complete(frame: &mut [u8]) -> Option<()> {
    let mut at = 12;
    let mut kind = u16_at(frame, at)?;
    while matches!(kind, 0x8100 | 0x88a8) {
        at += 4;
        kind = u16_at(frame, at)?;
    }
    let packet = frame.get_mut(at + 2..)?;
    let (pseudo, protocol, from, to) = match kind {
        0x0800 => ipv4(packet)?,
        0x86dd => ipv6(packet)?,
        _ => return None,
    };
    let segment = packet.get_mut(from..to)?;
    let field = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    segment.get_mut(field..field + 2)?.fill(0);
    let sum = pseudo.bytes(segment).finish();
    // RFC 768: a computed 0 is sent as all ones.
    let sum = if sum == 0 && protocol == UDP { 0xffff } else { sum };
    segment[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// Pseudo-header sum, protocol, and where the segment begins and ends.
fn ipv4(packet: &[u8]) -> Option<(Sum, u8, usize, usize)> {
    let header = packet.first_chunk::<20>()?;
    let from = usize::from(header[0] & 0xf) * 4;
    let to = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A fragment's checksum covers bytes that are not here.
    if from < 20 || to < from || u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    let sum = Sum::new().bytes(&header[12..20]).word(u16::from(header[9])).word((to - from) as u16);
    Some((sum, header[9], from, to))
}

fn ipv6(packet: &[u8]) -> Option<(Sum, u8, usize, usize)> {
    let header = packet.first_chunk::<40>()?;
    let length = u16::from_be_bytes([header[4], header[5]]);
    let sum = Sum::new().bytes(&header[8..40]).word(u16::from(header[6])).word(length);
    Some((sum, header[6], 40, 40 + usize::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_checksum_is_completed() {
        let mut frame = vec![0; 14];
        frame[12] = 8;
        frame.extend([0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x13, 0x88, 0x13, 0x89, 0, 10, 0xde, 0xad, 1, 2]);
        frame.extend([0xee; 16]); // Ethernet padding is no part of it.
        complete_checksum(&mut frame);
        let sum = Sum::new().pseudo(0x0a00_0001, 0x0a00_0002, 17, 10).bytes(&frame[34..44]).finish();
        assert_eq!(sum, 0);
        assert_ne!(frame[40..42], [0xde, 0xad]);
    }

    #[test]
    fn short_and_foreign_frames_stay_as_they_are() {
        for length in 0..60 {
            let mut frame = vec![0x45; length];
            let before = frame.clone();
            complete_checksum(&mut frame);
            assert_eq!(frame, before);
        }
    }
}
