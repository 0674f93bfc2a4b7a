//! Tokens to a syntax tree. After an error the parser goes on at the next statement, so that one run shows
//! them all. Nesting is bounded (the parser calls itself for compounds and groups), and so is everything
//! that a short text could make long.

mod chain;
mod class;
mod library;

use crate::ast::{Ast, Statement};
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Pos};
use crate::lex::{Lexer, Token};
use crate::limits;

pub use library::{Libraries, Library};
use library::{NoLibraries, Shelf};

/// Reads a Click text. `file` is the name that messages carry.
///
/// # Errors
/// Every syntax error of the text, with its place.
pub fn parse(file: &str, text: &str) -> Result<Ast, Diagnostics> {
    read(file, text, Within::File, &NoLibraries)
}

/// Reads a Click text whose `require(library NAME)` takes in what `libraries` has under that name.
///
/// # Errors
/// Every syntax error of the text and of the libraries, with its place.
pub fn parse_with(file: &str, text: &str, libraries: &dyn Libraries) -> Result<Ast, Diagnostics> {
    read(file, text, Within::File, libraries)
}

/// Reads the inside of a compound element that has no parameters: a text of its own that may use `input` and
/// `output`.
pub(crate) fn parse_body(file: &str, text: &str) -> Result<Ast, Diagnostics> {
    read(file, text, Within::Compound, &NoLibraries)
}

fn read(file: &str, text: &str, within: Within, libraries: &dyn Libraries) -> Result<Ast, Diagnostics> {
    if text.len() > limits::TEXT_BYTES {
        let place = Place { file: file.into(), pos: Pos::default() };
        let message = format!("the text has {} bytes; at most {} are read", text.len(), limits::TEXT_BYTES);
        return Err(Diagnostic::error(&place, message).into());
    }
    let mut shelf = Shelf::new(libraries, text.len());
    let mut parser = Parser { lexer: Lexer::new(file, text), shelf: &mut shelf, depth: 0, ports: 0 };
    let statements = parser.whole(within);
    parser.lexer.report.finish(Ast { file: file.into(), statements })
}

struct Parser<'a, 's> {
    lexer: Lexer<'a>,
    shelf: &'a mut Shelf<'s>,
    depth: usize,
    /// Ports named so far, in lists and ranges.
    ports: usize,
}

/// What a run of statements stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    File,
    Compound,
    Group,
}

impl Parser<'_, '_> {
    /// Statements up to the end of the text: a body must not close what it does not open.
    fn whole(&mut self, within: Within) -> Vec<Statement> {
        let statements = self.statements(within);
        if *self.lexer.peek() != Token::End {
            let (token, place) = self.lexer.next();
            self.syntax_error(&token, &place);
        }
        statements
    }

    fn error_here(&mut self, message: impl Into<String>) {
        let place = self.lexer.next_place();
        self.lexer.report.error(&place, message);
    }

    fn syntax_error(&mut self, token: &Token, place: &Place) {
        let message = format!("syntax error near ‘{}’", token.text());
        self.lexer.report.error(place, message);
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.lexer.peek() == token;
        if found {
            self.lexer.next();
        }
        found
    }

    fn expect(&mut self, token: &Token) -> bool {
        let found = self.take(token);
        if !found {
            let near = self.lexer.peek().text();
            let place = self.lexer.next_place();
            let expected = Diagnostic::error(&place, format!("expected ‘{}’", token.text()));
            self.lexer.report.push(expected.with_help(format!("found ‘{near}’ instead")));
        }
        found
    }

    /// Statements up to what ends them, which stays unread (`}`, `||` and `)` inside, end of text everywhere).
    fn statements(&mut self, within: Within) -> Vec<Statement> {
        let mut statements = Vec::new();
        loop {
            match self.lexer.peek() {
                Token::Word(_) | Token::Arrow | Token::Each | Token::Other('[' | '{' | '(') => {
                    let chain = self.chain(within);
                    statements.extend(chain.map(Statement::Chain));
                }
                Token::ElementClass => statements.extend(self.element_class()),
                Token::Require => statements.extend(self.require(within)),
                Token::Define => statements.push(self.define()),
                Token::Other(';') => {
                    self.lexer.next();
                }
                Token::Other('}') | Token::Bars if within != Within::File => return statements,
                Token::Other(')') if within == Within::Group => return statements,
                Token::End => return statements,
                _ => {
                    let (token, place) = self.lexer.next();
                    self.syntax_error(&token, &place);
                }
            }
        }
    }

    /// `( … )` after its opening parenthesis has been taken: the raw string.
    fn config(&mut self) -> String {
        let config = self.lexer.config();
        self.expect(&Token::Other(')'));
        config
    }

    /// `require(…)`, and behind it the statements of the libraries that it names.
    fn require(&mut self, within: Within) -> Vec<Statement> {
        self.lexer.next();
        let mut packages = Vec::new();
        let mut taken_in = Vec::new();
        if self.expect(&Token::Other('(')) {
            let place = self.lexer.place();
            for argument in config::split(&self.config()) {
                let words = config::words(&argument);
                let word = |w: &String| w.trim_matches(['"', '\'']).to_owned();
                let package = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["compact_config"] | [] => continue,
                    ["library", _] => {
                        taken_in.extend(self.library(&word(&words[1]), &place, within));
                        continue;
                    }
                    [_] => word(&words[0]),
                    ["package", _] => word(&words[1]),
                    _ => String::new(),
                };
                let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@');
                if package.is_empty() || !package.bytes().all(is_word) {
                    self.lexer.report.error(&place, "syntax error at requirement");
                } else {
                    packages.push(package);
                }
            }
        }
        taken_in.insert(0, Statement::Require(packages));
        taken_in
    }

    fn define(&mut self) -> Statement {
        self.lexer.next();
        let mut variables = Vec::new();
        if self.expect(&Token::Other('(')) {
            let place = self.lexer.place();
            for argument in config::split(&self.config()) {
                let end = argument.find(char::is_whitespace).unwrap_or(argument.len());
                let (name, value) = argument.split_at(end);
                let name = name.strip_prefix('$').unwrap_or_default();
                if name.is_empty() || !name.bytes().all(crate::lex::is_variable_byte) {
                    self.lexer.report.error(&place, "bad ‘define’ declaration: not a variable");
                } else {
                    variables.push((name.to_owned(), value.trim().to_owned(), place.clone()));
                }
            }
        }
        Statement::Define(variables)
    }
}
