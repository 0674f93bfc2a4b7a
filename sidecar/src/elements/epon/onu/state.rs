//! An ONU as state.

use super::schedule::Slot;
use super::{Burst, Onu, Phase};
use crate::element::{Packet, Time};
use crate::elements::epon::line::Llid;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

impl Phase {
    fn save(self, w: &mut Writer) {
        let (number, id) = match self {
            Self::Silent => (0, 0),
            Self::Asking => (1, 0),
            Self::Confirming(id) => (2, id),
            Self::Registered(id) => (3, id),
        };
        w.put_u8(number);
        w.put_u16(id);
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let (number, id) = (r.get_u8()?, r.get_u16()?);
        if id > Llid::ALL {
            return Err(StateError::Invalid { what: "logical link identifier", value: id.into() });
        }
        match number {
            0 => Ok(Self::Silent),
            1 => Ok(Self::Asking),
            2 => Ok(Self::Confirming(id)),
            3 => Ok(Self::Registered(id)),
            other => Err(StateError::Invalid { what: "phase of a registration", value: other.into() }),
        }
    }
}

impl Stateful for Onu {
    fn schema(&self) -> Schema {
        Schema { name: "epon/onu", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        self.phase.save(w);
        w.put_u16(self.sync);
        w.put_u8(self.failures);
        w.put_u8(self.skip);
        w.put_u64(self.heard.0);
        for number in [self.requests, self.registrations, self.grants, self.count] {
            w.put_u64(number);
        }
        self.schedule.save(w);
        w.put_bool(self.burst.is_some());
        if let Some(burst) = &self.burst {
            burst.slot.save(w);
            w.put_u64(burst.at.0);
        }
        self.queues.save(w);
        w.put_u32(self.arriving.len() as u32);
        for (end, packet) in &self.arriving {
            w.put_u64(end.0);
            packet.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.phase = Phase::restore(r)?;
        self.sync = r.get_u16()?;
        self.failures = r.get_u8()?.min(super::MOST_DOUBLINGS);
        self.skip = r.get_u8()?;
        self.heard = Time(r.get_u64()?);
        for number in [&mut self.requests, &mut self.registrations, &mut self.grants, &mut self.count] {
            *number = r.get_u64()?;
        }
        self.schedule.restore(r)?;
        self.burst = if r.get_bool()? {
            Some(Burst { slot: Slot::restore(r)?, at: Time(r.get_u64()?) })
        } else {
            None
        };
        self.queues.restore(r)?;
        self.arriving.clear();
        for _ in 0..r.get_u32()? {
            self.arriving.push_back((Time(r.get_u64()?), Packet::restore(r)?));
        }
        Ok(())
    }
}
