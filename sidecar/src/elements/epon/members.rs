//! Who is on the network, as the discovery of the OLT knows it: identifiers, addresses, round trips. No input or output.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::EtherAddr;
use crate::element::Time;
use crate::elements::epon::line::Llid;
use crate::state::{Reader, StateError, Writer};

/// An ONU that was given an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: EtherAddr,
    /// Its last round trip, in quanta.
    pub(super) round_trip: u32,
    /// It has confirmed its identifier.
    pub(super) registered: bool,
    /// When it was last heard.
    pub(super) heard: Time,
}

/// By identifier. At most as many as the OLT serves.
#[derive(Debug)]
pub(super) struct Members {
    most: u16,
    /// Identifiers that are kept for an address.
    reserved: BTreeMap<u16, EtherAddr>,
    members: BTreeMap<u16, Member>,
}

impl Members {
    pub(super) fn new(most: u16, reserved: BTreeMap<u16, EtherAddr>) -> Self {
        Self { most, reserved, members: BTreeMap::new() }
    }

    /// Gives an ONU its identifier: the one it has, the one kept for it, or the first that is free. `None` if there is
    /// none.
    pub(super) fn admit(&mut self, address: EtherAddr, round_trip: u32, now: Time) -> Option<u16> {
        let has = self.find(address);
        let kept = || self.reserved.iter().find(|(_, owner)| **owner == address).map(|(id, _)| *id);
        let free =
            || (1..=self.most).find(|id| !self.members.contains_key(id) && !self.reserved.contains_key(id));
        let id = has.or_else(kept).or_else(free)?;
        self.members.insert(id, Member { address, round_trip, registered: false, heard: now });
        Some(id)
    }

    pub(super) fn find(&self, address: EtherAddr) -> Option<u16> {
        self.members.iter().find(|(_, member)| member.address == address).map(|(id, _)| *id)
    }

    pub(super) fn get_mut(&mut self, id: u16) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: u16) -> Option<Member> {
        self.members.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    pub(super) fn registered(&self) -> usize {
        self.members.values().filter(|member| member.registered).count()
    }

    /// One that was silent for `limit` (for `unconfirmed`, if it has not confirmed its identifier) until `now`.
    pub(super) fn silent(&self, now: Time, limit: Duration, unconfirmed: Duration) -> Option<u16> {
        let limit = |member: &Member| if member.registered { limit } else { unconfirmed };
        self.iter().find(|(_, member)| member.heard + limit(member) <= now).map(|(id, _)| id)
    }

    /// When one will have been silent for too long, if nothing is heard.
    pub(super) fn next_silence(&self, limit: Duration, unconfirmed: Duration) -> Option<Time> {
        let limit = |member: &Member| if member.registered { limit } else { unconfirmed };
        self.members.values().map(|member| member.heard + limit(member)).min()
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u32(self.members.len() as u32);
        for (id, member) in &self.members {
            w.put_u16(*id);
            w.put_raw(&member.address.0);
            w.put_u32(member.round_trip);
            w.put_bool(member.registered);
            w.put_u64(member.heard.0);
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.members.clear();
        for _ in 0..r.get_u32()? {
            let id = r.get_u16()?;
            if id == 0 || id > self.most || id == Llid::ALL {
                return Err(StateError::Invalid { what: "logical link identifier", value: id.into() });
            }
            let mut address = EtherAddr::default();
            address.0.copy_from_slice(r.get_raw(6)?);
            let member = Member {
                address,
                round_trip: r.get_u32()?,
                registered: r.get_bool()?,
                heard: Time(r.get_u64()?),
            };
            self.members.insert(id, member);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> EtherAddr {
        EtherAddr([2, 0, 0, 0, 0, last])
    }

    #[test]
    fn identifiers_are_given_in_order_kept_and_used_again() {
        let mut members = Members::new(3, BTreeMap::from([(2, address(9))]));
        let mut admit = |last| members.admit(address(last), 7, Time(0));
        assert_eq!(
            [admit(1), admit(2), admit(1), admit(3), admit(9)],
            [Some(1), Some(3), Some(1), None, Some(2)]
        );
        members.remove(1);
        assert_eq!(members.admit(address(4), 7, Time(0)), Some(1));
        assert_eq!((members.find(address(9)), members.registered()), (Some(2), 0));
    }

    #[test]
    fn silence_is_noticed_sooner_while_an_identifier_is_not_confirmed() {
        let mut members = Members::new(9, BTreeMap::new());
        members.admit(address(1), 7, Time(0));
        members.admit(address(2), 7, Time(10));
        members.get_mut(1).unwrap().registered = true;
        let [long, short] = [1000, 100].map(Duration::from_nanos);
        assert_eq!(members.next_silence(long, short), Some(Time(110)));
        assert_eq!(
            (members.silent(Time(109), long, short), members.silent(Time(110), long, short)),
            (None, Some(2))
        );
        members.remove(2);
        assert_eq!(members.next_silence(long, short), Some(Time(1000)));
    }
}
