//! The bandwidth allocation as state.

use std::collections::VecDeque;
use std::time::Duration;

use super::service::Service;
use super::{Ahead, Dba, MOST_AHEAD, Polled};
use crate::config::Value;
use crate::element::Time;
use crate::elements::epon::line::Llid;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

fn put_time(time: Option<Time>, w: &mut Writer) {
    w.put_bool(time.is_some());
    w.put_u64(time.unwrap_or_default().0);
}

fn get_time(r: &mut Reader<'_>) -> Result<Option<Time>, StateError> {
    let known = r.get_bool()?;
    let time = Time(r.get_u64()?);
    Ok(known.then_some(time))
}

impl Polled {
    fn save(&self, w: &mut Writer) {
        w.put_u32(self.round_trip);
        w.put_bool(self.confirmed);
        self.request.iter().for_each(|asked| w.put_u32(*asked));
        w.put_u8(self.ahead.len() as u8);
        for ahead in &self.ahead {
            w.put_u64(ahead.on.0);
            w.put_u64(ahead.off.0);
            w.put_u32(ahead.data);
        }
        put_time(self.next, w);
        w.put_u64(self.granted.0);
        put_time(self.last_on, w);
        w.put_u64(self.grants);
        w.put_u64(self.missed);
    }

    fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut onu = Self { round_trip: r.get_u32()?, confirmed: r.get_bool()?, ..Self::new() };
        for asked in &mut onu.request {
            // What a REPORT can say.
            *asked = u16::try_from(r.get_u32()?).unwrap_or(u16::MAX).into();
        }
        let count = r.get_u8()?;
        if usize::from(count) > MOST_AHEAD {
            return Err(StateError::Invalid { what: "number of grants", value: count.into() });
        }
        onu.ahead = VecDeque::new();
        for _ in 0..count {
            let (on, off) = (Time(r.get_u64()?), Time(r.get_u64()?));
            onu.ahead.push_back(Ahead { on, off, data: u32::from(u16::MAX).min(r.get_u32()?) });
        }
        onu.next = get_time(r)?;
        onu.granted = Time(r.get_u64()?);
        onu.last_on = get_time(r)?;
        onu.grants = r.get_u64()?;
        onu.missed = r.get_u64()?;
        Ok(onu)
    }
}

impl Stateful for Dba {
    fn schema(&self) -> Schema {
        Schema { name: "epon/dba", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_str(&self.service.to_string());
        w.put_u64(self.upstream.free.0);
        w.put_u64(self.tick.0);
        for number in [self.grants, self.reports, self.missed, self.longest_cycle.as_nanos() as u64] {
            w.put_u64(number);
        }
        w.put_u32(self.onus.len() as u32);
        for (id, onu) in &self.onus {
            w.put_u16(*id);
            onu.save(w);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.service = Service::parse_plain(r.get_str()?)
            .map_err(|_| StateError::Invalid { what: "service of a bandwidth allocation", value: 0 })?;
        self.upstream.free = Time(r.get_u64()?);
        self.tick = Time(r.get_u64()?);
        self.grants = r.get_u64()?;
        self.reports = r.get_u64()?;
        self.missed = r.get_u64()?;
        self.longest_cycle = Duration::from_nanos(r.get_u64()?);
        self.onus.clear();
        for _ in 0..r.get_u32()? {
            let id = r.get_u16()?;
            if id >= Llid::ALL {
                return Err(StateError::Invalid { what: "logical link identifier", value: id.into() });
            }
            self.onus.insert(id, Polled::restore(r)?);
        }
        Ok(())
    }
}
