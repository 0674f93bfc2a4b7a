//! What all rewriters consist of: the table of mappings, and who gets a new one.

use super::admission::Admission;
use super::table::MappingTable;
use crate::element::HandlerError;
use crate::state::{Reader, Schema, StateError, Stateful, Table, Writer};

/// A rewriter's state.
pub(super) struct Flows {
    /// What its small state is called.
    pub(super) schema: Schema,
    pub(super) admission: Admission,
    pub(super) table: MappingTable,
}

impl Flows {
    /// Answers the read handlers that all rewriters have, but for the tables they print.
    pub(super) fn read(&self, handler: &str) -> Result<String, HandlerError> {
        match handler {
            "table_size" | "nmappings" => Ok((self.table.len() * 2).to_string()),
            "size" => Ok(self.table.len().to_string()),
            other => self.admission.read(other),
        }
    }
}

impl Stateful for Flows {
    fn schema(&self) -> Schema {
        self.schema
    }

    fn save(&self, w: &mut Writer) {
        self.admission.save(w);
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        self.admission.restore(r)
    }

    fn tables(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.table]
    }
}
