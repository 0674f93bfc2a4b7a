//! What a script carries along when it moves: its position, its variables, how it was called. Its timer is the engine's.

use super::Script;
use super::variables::Variables;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

impl Stateful for Script {
    fn schema(&self) -> Schema {
        Schema { name: "script", version: 1 }
    }

    fn save(&self, w: &mut Writer) {
        w.put_u32(self.at as u32);
        w.put_u32(self.counts.len() as u32);
        self.counts.iter().for_each(|count| w.put_u32(*count));
        w.put_bool(self.fresh);
        self.variables.save(w);
        w.put_str(&self.args);
        w.put_str(&self.called);
        w.put_bool(self.written);
        w.put_u32(self.write_status as u32);
        w.put_bool(self.armed);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        let at = r.get_u32()?;
        let count = r.get_u32()?;
        if at > count || count as usize != self.program.instructions.len() {
            return Err(StateError::Invalid { what: "position in a script", value: at.into() });
        }
        self.at = at as usize;
        for count in &mut self.counts {
            *count = r.get_u32()?;
        }
        self.fresh = r.get_bool()?;
        self.variables = Variables::restore(r)?;
        self.args = r.get_str()?.to_owned();
        self.called = r.get_str()?.to_owned();
        self.written = r.get_bool()?;
        self.write_status = r.get_u32()? as i32;
        self.armed = r.get_bool()?;
        Ok(())
    }
}
