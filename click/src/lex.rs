//! Text to words. Comments and `#line` vanish here; a configuration string is taken whole, between balanced
//! parentheses, minding quotes, `\<…>` and comments, exactly as Click's lexer does. Never fails: what it
//! cannot read is a [`Token::Other`] for the parser to refuse.

use std::sync::Arc;

use crate::diagnostic::{Place, Pos, Report};
use crate::limits;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    Variable(String),
    Arrow,
    Each,
    Colons,
    Bars,
    Dots,
    ElementClass,
    Require,
    Define,
    Other(char),
    End,
}

impl Token {
    /// As a message quotes it.
    pub(crate) fn text(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Variable(name) => format!("${name}"),
            Token::Arrow => "->".into(),
            Token::Each => "=>".into(),
            Token::Colons => "::".into(),
            Token::Bars => "||".into(),
            Token::Dots => "...".into(),
            Token::ElementClass => "elementclass".into(),
            Token::Require => "require".into(),
            Token::Define => "define".into(),
            Token::Other(c) => c.to_string(),
            Token::End => "end of text".into(),
        }
    }
}

pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    file: Arc<str>,
    original_file: Arc<str>,
    line: u32,
    line_start: usize,
    peeked: Option<(Token, Place)>,
    pub(crate) report: Report,
}

pub(crate) fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'@'
}

pub(crate) fn is_variable_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(file: &str, text: &'a str) -> Self {
        let file: Arc<str> = Arc::from(file);
        Self {
            text,
            at: 0,
            file: file.clone(),
            original_file: file,
            line: 1,
            line_start: 0,
            peeked: None,
            report: Report::default(),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes().get(self.at + ahead).copied()
    }

    fn starts_with(&self, what: &str) -> bool {
        self.bytes()[self.at..].starts_with(what.as_bytes())
    }

    pub(crate) fn place(&self) -> Place {
        let column = u32::try_from(self.at - self.line_start + 1).unwrap_or(u32::MAX);
        Place { file: self.file.clone(), pos: Pos { line: self.line, column } }
    }

    /// Steps over one byte, counting lines; `\r\n` counts once.
    fn step(&mut self) {
        match self.byte(0) {
            Some(b'\r') if self.byte(1) == Some(b'\n') => self.at += 1,
            Some(b'\n' | b'\r') => {
                self.line = self.line.saturating_add(1);
                self.line_start = self.at + 1;
                self.at += 1;
            }
            Some(_) => self.at += 1,
            None => {}
        }
    }

    pub(crate) fn peek(&mut self) -> &Token {
        if self.peeked.is_none() {
            let found = self.lex();
            self.peeked = Some(found);
        }
        match &self.peeked {
            Some((token, _)) => token,
            None => &Token::End,
        }
    }

    pub(crate) fn next(&mut self) -> (Token, Place) {
        match self.peeked.take() {
            Some(found) => found,
            None => self.lex(),
        }
    }

    /// Whether `$` comes after the peeked word: `KEY $var`.
    pub(crate) fn variable_follows(&self) -> bool {
        let rest = self.text[self.at..].trim_start();
        self.peeked.is_some() && rest.starts_with('$')
    }

    /// Leaves the rest of the text unread, and unreported.
    pub(crate) fn give_up(&mut self) {
        self.report.close();
        self.peeked = None;
        self.at = self.text.len();
    }

    /// Place of the next token.
    pub(crate) fn next_place(&mut self) -> Place {
        self.peek();
        match &self.peeked {
            Some((_, place)) => place.clone(),
            None => self.place(),
        }
    }

    fn lex(&mut self) -> (Token, Place) {
        self.skip_blank();
        let place = self.place();
        let Some(first) = self.byte(0) else { return (Token::End, place) };
        if is_word_byte(first) {
            return (self.word(&place), place);
        }
        if first == b'$' {
            let start = self.at + 1;
            self.at = start;
            while self.byte(0).is_some_and(is_variable_byte) {
                self.at += 1;
            }
            return (Token::Variable(self.text[start..self.at].to_owned()), place);
        }
        for (what, token) in [
            ("->", Token::Arrow),
            ("=>", Token::Each),
            ("::", Token::Colons),
            ("||", Token::Bars),
            ("...", Token::Dots),
        ] {
            if self.starts_with(what) {
                self.at += what.len();
                return (token, place);
            }
        }
        let other = self.text[self.at..].chars().next().unwrap_or('\u{fffd}');
        self.at += other.len_utf8();
        (Token::Other(other), place)
    }

    fn word(&mut self, place: &Place) -> Token {
        let start = self.at;
        loop {
            self.at += 1;
            match self.byte(0) {
                Some(b) if is_word_byte(b) => {}
                Some(b'/') if self.byte(1).is_some_and(is_word_byte) => {}
                _ => break,
            }
        }
        let word = &self.text[start..self.at];
        if word.len() > limits::WORD_BYTES {
            self.report.error(place, format!("a word of {} letters is too long", word.len()));
            return Token::Word(word[..limits::WORD_BYTES].to_owned());
        }
        match word {
            "elementclass" => Token::ElementClass,
            "require" => Token::Require,
            "define" => Token::Define,
            _ => Token::Word(word.to_owned()),
        }
    }

    /// White space, comments and line directives.
    fn skip_blank(&mut self) {
        while let Some(b) = self.byte(0) {
            if b.is_ascii_whitespace() || b == 0x0b {
                self.step();
            } else if self.starts_with("//") {
                self.skip_line();
            } else if self.starts_with("/*") {
                self.skip_block_comment();
            } else if b == b'#' && self.at == self.line_start {
                self.line_directive();
            } else {
                return;
            }
        }
    }

    /// To the end of the line, not over it.
    fn skip_line(&mut self) {
        while self.byte(0).is_some_and(|b| b != b'\n' && b != b'\r') {
            self.at += 1;
        }
    }

    fn skip_block_comment(&mut self) {
        let place = self.place();
        self.at += 2;
        while self.byte(0).is_some() {
            if self.starts_with("*/") {
                self.at += 2;
                return;
            }
            self.step();
        }
        self.report.error(&place, "unterminated comment");
    }

    /// `# 12 "file"` or `#line 12 "file"`: the line after it is line 12 of that file.
    fn line_directive(&mut self) {
        let place = self.place();
        let start = self.at + 1;
        self.skip_line();
        let directive = self.text[start..self.at].trim();
        let directive = match directive.strip_prefix("line") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => directive,
        };
        let digits = directive.len() - directive.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            self.report.error(&place, "unknown preprocessor directive");
            return;
        }
        self.step_over_line_end();
        self.line = directive[..digits].parse().unwrap_or(u32::MAX);
        if let Some(quoted) = directive[digits..].trim_start().strip_prefix('"') {
            let name = quoted.split('"').next().unwrap_or_default();
            self.file = if name.is_empty() { self.original_file.clone() } else { Arc::from(name) };
        }
    }

    fn step_over_line_end(&mut self) {
        if self.starts_with("\r\n") {
            self.step();
        }
        self.step();
    }

    /// The configuration string after an opening parenthesis, up to its closing one (not taken).
    /// Must not be called with a token peeked.
    pub(crate) fn config(&mut self) -> String {
        let mut config = String::new();
        let mut start = self.at;
        let mut depth = 1_usize;
        while let Some(b) = self.byte(0) {
            match b {
                b'(' => depth += 1,
                b')' if depth == 1 => break,
                b')' => depth -= 1,
                b'#' if self.at == self.line_start => {
                    config.push_str(&self.text[start..self.at]);
                    self.line_directive();
                    start = self.at;
                    continue;
                }
                b'/' if self.starts_with("//") => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.starts_with("/*") => {
                    self.skip_block_comment();
                    continue;
                }
                b'\'' | b'"' => {
                    self.skip_quote(b);
                    continue;
                }
                b'\\' if self.byte(1) == Some(b'<') => {
                    self.skip_angle();
                    continue;
                }
                _ => {}
            }
            self.step();
        }
        config.push_str(&self.text[start..self.at]);
        config
    }

    fn skip_quote(&mut self, quote: u8) {
        let place = self.place();
        self.step();
        while let Some(b) = self.byte(0) {
            if b == b'\\' && quote == b'"' {
                if self.byte(1) == Some(b'<') {
                    self.skip_angle();
                } else {
                    self.step();
                    self.step();
                }
                continue;
            }
            self.step();
            if b == quote {
                return;
            }
        }
        self.report.error(&place, "unterminated quote");
    }

    /// `\<…>`
    fn skip_angle(&mut self) {
        let place = self.place();
        self.at += 2;
        while let Some(b) = self.byte(0) {
            if self.starts_with("//") {
                self.skip_line();
            } else if self.starts_with("/*") {
                self.skip_block_comment();
            } else {
                self.step();
                if b == b'>' {
                    return;
                }
            }
        }
        self.report.error(&place, "unterminated \\<...>");
    }
}
