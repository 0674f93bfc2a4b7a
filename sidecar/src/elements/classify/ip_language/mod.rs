//! The tcpdump-like language of IPClassifier and IPFilter: text to [`Expression`], as click's manual page says.
//!
//! Recursive descent; nesting is bounded, so that no text can exhaust the stack.

use std::net::Ipv4Addr;

mod values;
mod words;

use self::words::{number, parse_mask, parse_partial_address, port_range, tokenize};
use super::ip_expression::Expression;
use super::ip_names as names;
use crate::config::{EtherAddr, Value};
use crate::wire::ipv4;

/// Names that the graph defines (AddressInfo, PortInfo).
pub(crate) trait GraphNames {
    /// Address of a name.
    fn address(&self, name: &str) -> Option<Ipv4Addr>;
    /// Address and mask of a name; of its network if it has one.
    fn network(&self, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)>;
    /// An Ethernet address, written out or by name.
    fn ether(&self, text: &str) -> Option<EtherAddr>;
    /// Port of a name.
    fn port(&self, name: &str) -> Option<u16>;
}

/// Parses one pattern.
pub(super) fn parse(text: &str, graph: &dyn GraphNames) -> Result<Expression, String> {
    let tokens = tokenize(text)?;
    if let [] | ["-" | "any" | "all"] = tokens.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return Ok(Expression::Constant(true));
    }
    let mut parser = Parser { tokens, at: 0, depth: 0, previous: Primitive::default(), graph };
    let expression = parser.ternary()?;
    match parser.peek() {
        "" => Ok(expression),
        extra => Err(format!("garbage after expression at '{extra}'")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Direction {
    Source,
    Destination,
    Both,
    #[default]
    Either,
}

/// A numeric field: where it stands, and in which protocol's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    header: Header,
    byte: u16,
    /// Bits to the right of the field in its first `bytes` bytes.
    shift: u32,
    bits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Ip,
    Transport(Option<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Ether,
    Port,
    Protocol,
    TcpFlag,
    Fragment,
    Unfragmented,
    EcnCapable,
    CongestionExperienced,
    Field(Field),
    IcmpType,
    True,
    False,
}

impl Kind {
    fn takes_number(self) -> bool {
        matches!(self, Self::Port | Self::Protocol | Self::Field(_) | Self::IcmpType)
    }
}

const fn ip_field(byte: u16, shift: u32, bits: u32) -> Kind {
    Kind::Field(Field { header: Header::Ip, byte, shift, bits })
}

fn kind_word(word: &str) -> Option<Kind> {
    Some(match word {
        "host" => Kind::Host,
        "net" => Kind::Net,
        "port" => Kind::Port,
        "proto" => Kind::Protocol,
        "opt" => Kind::TcpFlag,
        "frag" => Kind::Fragment,
        "unfrag" => Kind::Unfragmented,
        "ect" => Kind::EcnCapable,
        "ce" => Kind::CongestionExperienced,
        "vers" => ip_field(0, 4, 4),
        "hl" => ip_field(0, 0, 4),
        "tos" => ip_field(1, 0, 8),
        "dscp" => ip_field(1, 2, 6),
        "len" => ip_field(2, 0, 16),
        "id" => ip_field(4, 0, 16),
        "ttl" => ip_field(8, 0, 8),
        "sum" => ip_field(10, 0, 16),
        "win" => {
            Kind::Field(Field { header: Header::Transport(Some(ipv4::TCP)), byte: 14, shift: 0, bits: 16 })
        }
        "type" => Kind::IcmpType,
        "true" | "any" | "all" => Kind::True,
        "false" | "none" => Kind::False,
        _ => return None,
    })
}

/// What the words before the value say, and what the next primitive may leave out.
#[derive(Debug, Clone, Copy, Default)]
struct Primitive {
    direction: Option<Direction>,
    protocol: Option<u8>,
    kind: Option<Kind>,
    /// The word `ether` stood there.
    ether: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

struct Parser<'a> {
    tokens: Vec<String>,
    at: usize,
    depth: u32,
    previous: Primitive,
    graph: &'a dyn GraphNames,
}

const MAX_DEPTH: u32 = 200;

impl Parser<'_> {
    fn peek(&self) -> &str {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn take(&mut self) -> String {
        let token = self.peek().to_owned();
        self.at += 1;
        token
    }

    fn accept(&mut self, tokens: &[&str]) -> bool {
        let found = tokens.contains(&self.peek());
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.accept(&[token]) { Ok(()) } else { Err(format!("missing '{token}'")) }
    }

    fn nested(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<Expression, String>,
    ) -> Result<Expression, String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("expression is nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn ternary(&mut self) -> Result<Expression, String> {
        let condition = self.or()?;
        if !self.accept(&["?"]) {
            return Ok(condition);
        }
        let yes = self.nested(Self::ternary)?;
        self.expect(":")?;
        let no = self.nested(Self::ternary)?;
        Ok(Expression::If(Box::new([condition, yes, no])))
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut terms = vec![self.and()?];
        while self.accept(&["or", "||"]) {
            terms.push(self.and()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Expression::Or(terms) })
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut terms = vec![self.factor()?];
        loop {
            let joined = self.accept(&["and", "&&"]);
            if !joined && matches!(self.peek(), "" | "or" | "||" | ")" | "?" | ":") {
                break;
            }
            terms.push(self.factor()?);
        }
        Ok(if terms.len() == 1 { terms.remove(0) } else { Expression::And(terms) })
    }

    fn factor(&mut self) -> Result<Expression, String> {
        if self.accept(&["not", "!"]) {
            return Ok(self.nested(Self::factor)?.negate());
        }
        if self.accept(&["("]) {
            let inner = self.nested(Self::ternary)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Result<Expression, String> {
        let start = self.at;
        let mut primitive = Primitive::default();
        while self.qualifier(&mut primitive)? {}
        let mask = if self.accept(&["&"]) { Some(mask(&self.take())?) } else { None };
        let operator = self.operator();
        let said_nothing = self.at == start;
        if primitive.kind.is_none() {
            self.guess_kind(&mut primitive, said_nothing)?;
        }
        let expression = self.value(primitive, mask, operator)?;
        if self.at == start {
            return Err(format!("syntax error near '{}'", self.peek()));
        }
        self.previous = primitive;
        Ok(expression)
    }

    /// Takes one word that qualifies the primitive; `false` when the next word is something else.
    fn qualifier(&mut self, primitive: &mut Primitive) -> Result<bool, String> {
        let word = self.peek().to_owned();
        if let "src" | "dst" | "dest" = word.as_str() {
            if primitive.direction.is_some() {
                return Err(format!("syntax error near '{word}'"));
            }
            primitive.direction = Some(self.direction());
            return Ok(true);
        }
        if primitive.kind.is_some() {
            return Ok(false);
        }
        if let Some(kind) = self.bracketed(&word)? {
            primitive.kind = Some(kind);
        } else if word == "ip" {
            // Says only that a field of the IP header follows.
        } else if word == "ether" {
            primitive.ether = true;
        } else if let Some(kind) = kind_word(&word) {
            primitive.kind = Some(kind);
        } else if let Some(protocol) = names::protocol(&word).filter(|_| primitive.protocol.is_none()) {
            primitive.protocol = Some(protocol);
        } else {
            return Ok(false);
        }
        self.at += 1;
        Ok(true)
    }

    fn direction(&mut self) -> Direction {
        let first = self.take();
        let is_other =
            |word: &str| (word == "src") != (first == "src") && matches!(word, "src" | "dst" | "dest");
        if is_other(self.peek_at(1)) {
            match self.peek() {
                "or" | "||" => {
                    self.at += 2;
                    return Direction::Either;
                }
                "and" | "&&" => {
                    self.at += 2;
                    return Direction::Both;
                }
                _ => {}
            }
        }
        if first == "src" { Direction::Source } else { Direction::Destination }
    }

    /// `ip[POS:LEN]`, `transp[POS]`, `tcp[POS:LEN]` …
    fn bracketed(&self, word: &str) -> Result<Option<Kind>, String> {
        let Some((header, inner)) = word.strip_suffix(']').and_then(|w| w.split_once('[')) else {
            return Ok(None);
        };
        let header = match header {
            "ip" => Header::Ip,
            "transp" => Header::Transport(None),
            name => Header::Transport(Some(
                names::protocol(name).ok_or_else(|| format!("unknown header '{name}' in '{word}'"))?,
            )),
        };
        let (position, length) = inner.split_once(':').unwrap_or((inner, "1"));
        let (position, length) = (number(position.trim())?, number(length.trim())?);
        if !(1..=4).contains(&length) || position > 8191 {
            return Err(format!("'{word}': length must be 1 to 4 and position at most 8191"));
        }
        if position % 4 + length > 4 {
            return Err(format!("'{word}' crosses a 4-byte boundary: split it into two tests"));
        }
        Ok(Some(Kind::Field(Field { header, byte: position as u16, shift: 0, bits: length * 8 })))
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.peek() {
            "==" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return None,
        };
        self.at += 1;
        Some(operator)
    }

    /// Which kind a primitive without a kind word means: by its value, or as the primitive before it.
    fn guess_kind(&mut self, primitive: &mut Primitive, said_nothing: bool) -> Result<(), String> {
        let value = self.peek().to_owned();
        let inherits = |kind: Kind, previous: &Primitive| said_nothing && previous.kind == Some(kind);
        if value.is_empty() || matches!(value.as_str(), "and" | "or" | "&&" | "||" | ")" | "?" | ":") {
            if primitive.protocol.is_some() && primitive.direction.is_none() {
                primitive.kind = Some(Kind::Protocol);
                return Ok(());
            }
            return Err("empty term near end of pattern or before a connective".to_owned());
        }
        let kind = if number(&value).is_ok() || port_range(&value).is_some() {
            match self.previous.kind {
                Some(kind) if kind.takes_number() && (said_nothing || primitive.direction.is_some()) => kind,
                _ if primitive.protocol.is_some() => Kind::Port,
                _ => {
                    return Err(format!(
                        "'{value}' needs a word before it that says what it is, such as 'port'"
                    ));
                }
            }
        } else if value.contains('/') && self.network(&value).is_some() {
            Kind::Net
        } else if value.parse::<Ipv4Addr>().is_ok() {
            if self.peek_at(1) == "mask" || inherits(Kind::Net, &self.previous) {
                Kind::Net
            } else {
                Kind::Host
            }
        } else if EtherAddr::parse_plain(&value).is_ok()
            || primitive.ether
            || inherits(Kind::Ether, &self.previous) && self.graph.ether(&value).is_some()
        {
            Kind::Ether
        } else if primitive.protocol == Some(ipv4::ICMP) && names::icmp_type(&value).is_some()
            || inherits(Kind::IcmpType, &self.previous) && names::icmp_type(&value).is_some()
        {
            Kind::IcmpType
        } else if names::tcp_flag(&value).is_some() && primitive.direction.is_none() {
            Kind::TcpFlag
        } else if names::port(&value).is_some() || self.graph.port(&value).is_some() {
            Kind::Port
        } else if self.graph.address(&value).is_some() {
            Kind::Host
        } else if self.graph.network(&value).is_some() {
            Kind::Net
        } else if self.graph.ether(&value).is_some() {
            Kind::Ether
        } else if primitive.protocol.is_some() && primitive.direction.is_none() {
            Kind::Protocol
        } else {
            return Err(format!("syntax error near '{value}'"));
        };
        primitive.kind = Some(kind);
        if said_nothing && self.previous.kind == Some(kind) {
            *primitive = self.previous;
            // What follows is another protocol: `tcp or 17`.
            primitive.protocol = primitive.protocol.filter(|_| kind != Kind::Protocol);
        } else if primitive.protocol.is_none() && kind == Kind::Port && self.previous.kind == Some(kind) {
            primitive.protocol = self.previous.protocol;
        }
        Ok(())
    }

    fn network(&self, text: &str) -> Option<(u32, u32)> {
        if let Some((address, mask)) = self.graph.network(text) {
            return Some((address.into(), mask.into()));
        }
        let (address, mask) = text.split_once('/')?;
        Some((parse_partial_address(address)?, parse_mask(mask)?))
    }
}

/// The mask behind `&`: a number or an address.
fn mask(text: &str) -> Result<u32, String> {
    number(text).or_else(|wrong| text.parse::<Ipv4Addr>().map(u32::from).map_err(|_| wrong))
}
