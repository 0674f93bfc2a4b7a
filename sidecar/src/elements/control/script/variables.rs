//! The variables of a script, in the order in which they were named first.

use crate::state::{Reader, StateError, Writer};

/// Variables that a script may have.
const MOST: usize = 1000;
/// Bytes of one value: a loop that doubles its text ends here.
pub(super) const LONGEST: usize = 1 << 16;

#[derive(Debug, Clone, Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        if value.len() > LONGEST {
            return Err(format!("value of '{name}' is longer than {LONGEST} bytes"));
        }
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *old = value;
            return Ok(());
        }
        if self.0.len() >= MOST {
            return Err(format!("more than {MOST} variables"));
        }
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    /// A line a variable.
    pub(super) fn show(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}\t{value}\n")).collect()
    }

    pub(super) fn save(&self, w: &mut Writer) {
        w.put_u32(self.0.len() as u32);
        for (name, value) in &self.0 {
            w.put_str(name);
            w.put_str(value);
        }
    }

    pub(super) fn restore(r: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut variables = Self::default();
        for _ in 0..r.get_u32()? {
            let (name, value) = (r.get_str()?, r.get_str()?);
            let wrong = StateError::Invalid { what: "variable", value: value.len() as u64 };
            variables.set(name, value.to_owned()).map_err(|_| wrong)?;
        }
        Ok(variables)
    }
}
