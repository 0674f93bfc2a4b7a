//! Syntax tree to flat graph, in three steps: names are resolved into scopes ([`scope`], one for the file and
//! one for each version of a compound class), scopes are instantiated ([`instance`]), and connections are
//! followed through the compounds' `input` and `output` ([`connect`]).

mod connect;
mod environment;
mod instance;
mod ports;
mod scope;

use crate::ast::Ast;
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos};
use crate::graph::FlatGraph;

/// Expands compound elements and variables. `params` are `NAME=VALUE` as on Click's command line: they take
/// precedence over the text's own `define`.
///
/// # Errors
/// Everything wrong with names, parameters and compounds, with its place. Whether a class exists is not
/// known here; [`crate::settle`] says.
pub fn flatten(ast: &Ast, params: &[(String, String)]) -> Result<FlatGraph, Diagnostics> {
    check_params(ast, params)?;
    let scopes = scope::resolve(ast)?;
    let instances = instance::expand(&scopes, params)?;
    connect::join(instances)
}

/// A parameter's value becomes part of configuration strings; one that does not balance could end them.
fn check_params(ast: &Ast, params: &[(String, String)]) -> Result<(), Diagnostics> {
    let place = Place { file: ast.file.clone(), pos: Pos::default() };
    for (name, value) in params {
        if name.is_empty() || !name.bytes().all(crate::lex::is_variable_byte) {
            return Err(Diagnostic::error(&place, format!("bad parameter name ‘{name}’")).into());
        }
        if !config::is_balanced(value) {
            let message = format!("value of parameter ‘{name}’ has unbalanced quotes or parentheses");
            return Err(Diagnostic::error(&place, message).into());
        }
    }
    Ok(())
}
