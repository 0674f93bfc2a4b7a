//! Compound elements: `elementclass`, parameters, overloads.

use super::{Parser, Within};
use crate::ast::{ClassBody, Compound, Formal, Statement, Version};
use crate::lex::Token;
use crate::limits;

impl Parser<'_, '_> {
    pub(super) fn element_class(&mut self) -> Option<Statement> {
        self.lexer.next();
        let place = self.lexer.next_place();
        let name = match self.lexer.peek() {
            Token::Word(_) => self.lexer.next().0.text(),
            _ => {
                self.error_here("expected element type name");
                String::new()
            }
        };
        let is = match self.lexer.peek() {
            Token::Other('{') => ClassBody::Compound(self.compound()?),
            Token::Word(_) => ClassBody::Alias(self.lexer.next().0.text()),
            _ => {
                let (token, place) = self.lexer.next();
                self.syntax_error(&token, &place);
                return None;
            }
        };
        (!name.is_empty()).then_some(Statement::ElementClass { name, place, is })
    }

    /// `{ version || version || ... }`
    pub(super) fn compound(&mut self) -> Option<Compound> {
        let (_, place) = self.lexer.next();
        if self.depth >= limits::DEPTH {
            return self.too_deep(&place);
        }
        self.depth += 1;
        let mut compound = Compound { versions: Vec::new(), extends: None };
        loop {
            let place = self.lexer.next_place();
            if self.take(&Token::Dots) {
                let last = *self.lexer.peek() == Token::Other('}');
                if !last || compound.versions.is_empty() {
                    self.lexer.report.error(&place, "‘...’ should occur last, after one or more compounds");
                }
                compound.extends = Some(place);
            } else {
                let formals = self.formals();
                let statements = self.statements(Within::Compound);
                compound.versions.push(Version { place, formals, statements });
            }
            if !self.take(&Token::Bars) {
                break;
            }
        }
        self.depth -= 1;
        self.expect(&Token::Other('}'));
        Some(compound)
    }

    /// `$a, KEY $b, __REST__ $c |`; without parameters the bar may be left out.
    fn formals(&mut self) -> Vec<Formal> {
        let mut formals: Vec<Formal> = Vec::new();
        loop {
            let formal = match self.lexer.peek().clone() {
                Token::Other('|') => {
                    self.lexer.next();
                    return formals;
                }
                Token::Variable(variable) => {
                    self.lexer.next();
                    Formal { variable, keyword: None }
                }
                Token::Word(keyword) if self.lexer.variable_follows() => {
                    self.lexer.next();
                    Formal { variable: self.variable_name(), keyword: Some(keyword) }
                }
                _ => {
                    if !formals.is_empty() {
                        self.error_here("expected variable");
                    }
                    return formals;
                }
            };
            self.add_formal(&mut formals, formal);
            if self.take(&Token::Other('|')) {
                return formals;
            }
            if !self.take(&Token::Other(',')) {
                self.error_here("expected ‘,’ or ‘|’");
                return formals;
            }
        }
    }

    fn variable_name(&mut self) -> String {
        match self.lexer.next().0 {
            Token::Variable(name) => name,
            other => other.text(),
        }
    }

    fn add_formal(&mut self, formals: &mut Vec<Formal>, formal: Formal) {
        if formals.iter().any(|f| f.variable == formal.variable) {
            self.error_here(format!("parameter ‘${}’ multiply defined", formal.variable));
            return;
        }
        if let Some(keyword) =
            formal.keyword.as_ref().filter(|_| formals.iter().any(|f| f.keyword == formal.keyword))
        {
            self.error_here(format!("repeated keyword parameter ‘{keyword}’ in compound element"));
        }
        if let Some(last) = formals.last() {
            let rest = last.keyword.as_deref() == Some("__REST__");
            if rest || (last.keyword.is_some() && formal.keyword.is_none()) {
                self.error_here(
                    "compound element parameters out of order\n\
                     (The correct order is ‘[positional], [keywords], [__REST__]’.)",
                );
            }
        }
        formals.push(formal);
    }
}
