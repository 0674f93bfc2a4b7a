//! From a file or an expression to a settled graph.

use std::io::Read as _;

use anf_click::{Diagnostics, FlatGraph, SettledGraph};
use clap::Args;

use super::archive;
use super::library::Files;
use crate::registry::Registry;

/// Where the Click text comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    /// File with the router configuration; `-` for standard input. Further arguments `NAME=VALUE` set parameters.
    #[arg(value_name = "FILE | NAME=VALUE")]
    words: Vec<String>,
    /// Use this text as the router configuration.
    #[arg(short = 'e', long = "expression", value_name = "TEXT")]
    expression: Option<String>,
    /// Use this file as the router configuration.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<String>,
}

/// A Click text with the name that errors give it, and parameters.
pub(super) struct Text {
    name: String,
    text: String,
    parameters: Vec<(String, String)>,
}

impl Source {
    /// Reads the text. The error is a line for standard error.
    pub(super) fn read(&self) -> Result<Text, String> {
        let mut file = self.file.clone();
        let mut parameters = Vec::new();
        for word in &self.words {
            match word.split_once('=') {
                Some((name, value)) if is_name(name) => parameters.push((name.to_owned(), value.to_owned())),
                _ if file.is_none() && self.expression.is_none() => file = Some(word.clone()),
                _ => return Err(format!("router configuration specified twice ('{word}')")),
            }
        }
        if let Some(text) = &self.expression {
            if file.is_some() {
                return Err("router configuration specified twice".to_owned());
            }
            return Ok(Text { name: "config".to_owned(), text: text.clone(), parameters });
        }
        let name = file.unwrap_or_else(|| "-".to_owned());
        let bytes = if name == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            std::fs::read(&name)
        };
        let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
        let text = archive::text(bytes).map_err(|problem| format!("{name}: {problem}"))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let name = if name == "-" { "<stdin>".to_owned() } else { name };
        Ok(Text { name, text, parameters })
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Text {
    pub(super) fn new(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, parameters: Vec::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn flatten(&self) -> Result<FlatGraph, Diagnostics> {
        let ast = anf_click::parse_with(&self.name, &self.text, &Files::of_the_environment())?;
        anf_click::flatten(&ast, &self.parameters)
    }

    pub(super) fn settle(&self, registry: &Registry) -> Result<SettledGraph, Diagnostics> {
        anf_click::settle(self.flatten()?, registry)
    }
}

/// Prints all errors as click(1) does.
pub(super) fn complain(found: &Diagnostics) {
    for diagnostic in &found.0 {
        eprintln!("{diagnostic}");
    }
    eprintln!("Router could not be initialized!");
}
