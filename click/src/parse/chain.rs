//! Connections: `a, b [1] -> [0] c :: Class(config) => …`.

use super::{Parser, Within};
use crate::ast::{Chain, Class, Connector, PortList, Reference, What};
use crate::diagnostic::Place;
use crate::lex::Token;
use crate::limits;

impl Parser<'_, '_> {
    /// One statement of elements and connections; nothing if no element could be read.
    pub(super) fn chain(&mut self, within: Within) -> Option<Chain> {
        let mut chain = Chain { stages: Vec::new(), connectors: Vec::new() };
        loop {
            let first = chain.stages.is_empty();
            let stage = self.stage(within, first);
            if stage.is_empty() {
                chain.connectors.truncate(chain.stages.len().saturating_sub(1));
                break;
            }
            chain.stages.push(stage);
            match self.connector() {
                Some(connector) => chain.connectors.push(connector),
                None => break,
            }
        }
        self.refuse_useless_ports(&chain);
        (!chain.stages.is_empty()).then_some(chain)
    }

    fn refuse_useless_ports(&mut self, chain: &Chain) {
        let useless = |stage: Option<&Vec<Reference>>, ports: fn(&Reference) -> &PortList| {
            stage.and_then(|s| s.iter().find(|r| !ports(r).is_absent())).map(|r| r.place.clone())
        };
        // A group and an implicit `input` or `output` have their ports on the side that is used.
        if let Some(place) = useless(chain.stages.first(), |r| &r.inputs) {
            self.lexer.report.error(&place, "input ports ignored at start of chain");
        }
        if let Some(place) = useless(chain.stages.last(), |r| &r.outputs) {
            self.lexer.report.error(&place, "output ports ignored at end of chain");
        }
    }

    /// The arrow to the next stage, or nothing where the statement ends.
    fn connector(&mut self) -> Option<Connector> {
        loop {
            match self.lexer.peek() {
                Token::Arrow => {
                    self.lexer.next();
                    return Some(Connector::Arrow);
                }
                Token::Each => {
                    self.lexer.next();
                    return Some(Connector::Each);
                }
                Token::Other(';') => {
                    self.lexer.next();
                    return None;
                }
                Token::Other(',') | Token::Colons => {
                    let (token, place) = self.lexer.next();
                    self.syntax_error(&token, &place);
                }
                Token::Word(_) | Token::ElementClass | Token::Require | Token::Define | Token::Bars => {
                    return None;
                }
                Token::End | Token::Other('{' | '}' | '[' | ')') => return None,
                _ => {
                    let (token, place) = self.lexer.next();
                    self.syntax_error(&token, &place);
                    return None;
                }
            }
        }
    }

    /// Elements separated by commas.
    fn stage(&mut self, within: Within, first: bool) -> Vec<Reference> {
        let mut stage: Vec<Reference> = Vec::new();
        while let Some(reference) = self.reference(within, first, stage.is_empty()) {
            stage.push(reference);
            if !self.take(&Token::Other(',')) {
                break;
            }
        }
        let arrow = matches!(self.lexer.peek(), Token::Arrow | Token::Each);
        if first && !arrow {
            spread_declaration(&mut stage);
        }
        if !first && arrow && stage.iter().any(|r| matches!(r.what, What::Output)) {
            self.error_here("implicit ports used in the middle of a chain");
        }
        stage
    }

    fn reference(&mut self, within: Within, first_stage: bool, first_of_stage: bool) -> Option<Reference> {
        let place = self.lexer.next_place();
        let ports = self.port_list();
        let what = match self.lexer.peek() {
            Token::Word(_) => {
                let (token, _) = self.lexer.next();
                self.word(token.text())
            }
            Token::Other('{') => {
                let body = self.compound()?;
                if *self.lexer.peek() == Token::Colons {
                    self.error_here("syntax error near ‘::’");
                    self.lexer.next();
                }
                What::Compound { body, config: self.optional_config() }
            }
            Token::Other('(') => What::Group { statements: self.group()? },
            token => {
                let arrow = matches!(token, Token::Arrow | Token::Each);
                let nested = within != Within::File;
                let lone = !ports.is_absent() || first_of_stage;
                let implicit = match token {
                    _ if !nested => false,
                    Token::Arrow | Token::Each => first_stage && lone,
                    Token::Other(',') => !ports.is_absent(),
                    Token::Colons => false,
                    _ => !first_stage && lone,
                };
                if implicit {
                    return Some(implicit_port(place, ports, first_stage));
                }
                self.refuse_missing_element(&place, &ports, first_of_stage, arrow);
                return None;
            }
        };
        let outputs = self.port_list();
        Some(Reference { place, inputs: ports, outputs, what })
    }

    /// Something else where an element must stand. What it is stays unread if it can begin or end a statement.
    fn refuse_missing_element(&mut self, place: &Place, ports: &PortList, first_of_stage: bool, arrow: bool) {
        if !ports.is_absent() {
            self.lexer.report.error(place, "stranded port ignored");
        }
        if !first_of_stage && !arrow && ports.is_absent() {
            return; // a comma at the end of a list
        }
        let at_end = matches!(self.lexer.peek(), Token::Other(';' | '}' | ')') | Token::Bars | Token::End);
        let keyword = matches!(self.lexer.peek(), Token::ElementClass | Token::Require | Token::Define);
        let token = self.lexer.peek().clone();
        let near = self.lexer.next_place();
        if ports.is_absent() {
            self.syntax_error(&token, &near);
        }
        if !at_end && !keyword {
            self.lexer.next();
        }
    }

    fn word(&mut self, word: String) -> What {
        let mut class = None;
        if self.take(&Token::Colons) {
            class = match self.lexer.peek() {
                Token::Word(_) => Some(Class::Named(self.lexer.next().0.text())),
                Token::Other('{') => self.compound().map(|body| Class::Compound(Box::new(body))),
                _ => {
                    self.error_here("missing element type in declaration");
                    None
                }
            };
        }
        What::Word { word, class, config: self.optional_config() }
    }

    fn optional_config(&mut self) -> Option<String> {
        self.take(&Token::Other('(')).then(|| self.config())
    }

    fn group(&mut self) -> Option<Vec<crate::ast::Statement>> {
        let (_, place) = self.lexer.next();
        if self.depth >= limits::DEPTH {
            return self.too_deep(&place);
        }
        self.depth += 1;
        let statements = self.statements(Within::Group);
        self.depth -= 1;
        self.expect(&Token::Other(')'));
        Some(statements)
    }

    /// Reports the nesting and leaves the rest of the text unread: nothing in it can be trusted to fit.
    pub(super) fn too_deep<T>(&mut self, place: &Place) -> Option<T> {
        let message = format!("compound elements nest more than {} deep", limits::DEPTH);
        self.lexer.report.error(place, message);
        self.lexer.give_up();
        None
    }

    /// `[0, 2-4]`, or an absent list.
    fn port_list(&mut self) -> PortList {
        let mut list = PortList::default();
        if !self.take(&Token::Other('[')) {
            return list;
        }
        let mut range = false;
        loop {
            match self.lexer.peek().clone() {
                Token::Word(word) => {
                    let port = self.port_number(&word);
                    self.lexer.next();
                    self.add_ports(&mut list, port, range);
                }
                Token::Other(']') => {
                    self.lexer.next();
                    if list.ports.is_empty() {
                        list.ports.push(0);
                    }
                    list.open = true;
                    return list;
                }
                _ => {
                    self.error_here("syntax error: expected port number");
                    return list;
                }
            }
            range = false;
            match self.lexer.peek() {
                Token::Other(']') => {
                    self.lexer.next();
                    return list;
                }
                Token::Other('-') => {
                    self.lexer.next();
                    range = true;
                }
                Token::Other(',') => {
                    self.lexer.next();
                }
                _ => {
                    self.error_here("syntax error: expected ‘]’");
                    return list;
                }
            }
        }
    }

    fn port_number(&mut self, word: &str) -> u32 {
        match word.parse::<u64>() {
            Ok(port) if port <= u64::from(limits::PORT) => port as u32,
            Ok(port) => {
                self.error_here(format!("port number {port} is too large; the highest is {}", limits::PORT));
                0
            }
            Err(_) => {
                self.error_here("syntax error: port number should be integer");
                0
            }
        }
    }

    fn add_ports(&mut self, list: &mut PortList, port: u32, range: bool) {
        let from = match list.ports.last() {
            Some(last) if range => last + 1,
            _ => port,
        };
        let count = (from..=port).count();
        if self.ports + count > limits::PORTS {
            self.error_here("too many ports in port lists");
            self.lexer.give_up();
            return;
        }
        self.ports += count;
        list.ports.extend(from..=port);
    }
}

/// `-> a` means `input -> a`, `[1] -> a` means `input[1] -> a`; `a -> [1]` means `a -> [1]output`.
fn implicit_port(place: Place, ports: PortList, first_stage: bool) -> Reference {
    if first_stage {
        Reference { place, inputs: PortList::default(), outputs: ports, what: What::Input }
    } else {
        Reference { place, inputs: ports, outputs: PortList::default(), what: What::Output }
    }
}

/// `a, b, c :: Class(config);` declares all three.
fn spread_declaration(stage: &mut [Reference]) {
    let Some((last, others)) = stage.split_last_mut() else { return };
    let What::Word { class: Some(class), config, .. } = &last.what else { return };
    let no_ports = |r: &Reference| r.inputs.is_absent() && r.outputs.is_absent();
    let bare = |r: &Reference| no_ports(r) && matches!(r.what, What::Word { class: None, config: None, .. });
    if !no_ports(last) || !others.iter().all(bare) {
        return;
    }
    for other in others {
        if let What::Word { class: other_class, config: other_config, .. } = &mut other.what {
            *other_class = Some(class.clone());
            other_config.clone_from(config);
        }
    }
}
