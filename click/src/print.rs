//! A flat graph as Click text: requirements, declarations, then connections. Reading it back gives the same
//! graph, as long as the configuration strings are normal ([`crate::config::normal`]), as flatten leaves them.

use std::fmt;

use crate::graph::FlatGraph;

impl fmt::Display for FlatGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for requirement in &self.requirements {
            writeln!(f, "require(package {requirement});")?;
        }
        for element in &self.elements {
            write!(f, "{} :: {}", element.name, element.class)?;
            if !element.config.is_empty() {
                write!(f, "({})", element.config)?;
            }
            writeln!(f, ";")?;
        }
        if !self.connections.is_empty() {
            writeln!(f)?;
        }
        for connection in &self.connections {
            let (from, to) = (connection.from, connection.to);
            let (from_name, to_name) = (&self[from.element].name, &self[to.element].name);
            writeln!(f, "{from_name}[{}] -> [{}]{to_name};", from.port, to.port)?;
        }
        Ok(())
    }
}
