//! The tcpdump-like language of IPClassifier and IPFilter: text to [`Expression`], as click's manual page says.
//!
//! Recursive descent; nesting is bounded, so that no text can exhaust the stack.

use std::net::Ipv4Addr;

use super::ip_expression::{Expression, Word};
use super::ip_names as names;
use crate::wire::ipv4;

/// Names that the graph defines (AddressInfo, PortInfo).
pub(crate) trait GraphNames {
    /// Address and mask of a name.
    fn network(&self, name: &str) -> Option<(Ipv4Addr, Ipv4Addr)>;
    /// Port of a name.
    fn port(&self, name: &str) -> Option<u16>;
}

/// Parses one pattern.
pub(super) fn parse(text: &str, graph: &dyn GraphNames) -> Result<Expression, String> {
    let tokens = tokenize(text)?;
    if let ["-" | "any" | "all"] = tokens.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return Ok(Expression::Constant(true));
    }
    let mut parser = Parser { tokens, at: 0, depth: 0, previous: Primitive::default(), graph };
    let expression = parser.ternary()?;
    match parser.peek() {
        "" => Ok(expression),
        extra => Err(format!("garbage after expression at '{extra}'")),
    }
}

const OPERATORS: [&str; 14] = ["&&", "||", "==", "!=", "<=", ">=", "(", ")", "!", "?", "<", ">", "=", "&"];

fn tokenize(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            Some(operator) => operator.len(),
            None => word_length(rest)?,
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = tail.trim_start();
    }
    Ok(tokens)
}

/// Length of the word at the start of `rest`; a bracket keeps what is in it together.
fn word_length(rest: &str) -> Result<usize, String> {
    let mut in_brackets = false;
    for (at, c) in rest.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            c if !in_brackets && (c.is_whitespace() || "()!&|<>=?".contains(c)) => {
                // A single `|` starts no operator and ends no word: it is refused as part of a word.
                return Ok(if at == 0 { c.len_utf8() } else { at });
            }
            _ => {}
        }
    }
    if in_brackets { Err("missing ']'".to_owned()) } else { Ok(rest.len()) }
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
        let mask = if self.accept(&["&"]) { Some(number(&self.take())?) } else { None };
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
        if let "src" | "dst" = word.as_str() {
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
        let other = if first == "src" { "dst" } else { "src" };
        if self.peek_at(1) == other {
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
        } else if primitive.protocol == Some(ipv4::ICMP) && names::icmp_type(&value).is_some()
            || inherits(Kind::IcmpType, &self.previous) && names::icmp_type(&value).is_some()
        {
            Kind::IcmpType
        } else if names::tcp_flag(&value).is_some() && primitive.direction.is_none() {
            Kind::TcpFlag
        } else if names::port(&value).is_some() || self.graph.port(&value).is_some() {
            Kind::Port
        } else if let Some((_, mask)) = self.graph.network(&value) {
            if mask == Ipv4Addr::BROADCAST { Kind::Host } else { Kind::Net }
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

    fn value(
        &mut self,
        primitive: Primitive,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let Some(kind) = primitive.kind else { return Err("empty term".to_owned()) };
        let direction = primitive.direction.unwrap_or_default();
        let has_direction = matches!(kind, Kind::Host | Kind::Net | Kind::Port);
        if primitive.direction.is_some() && !has_direction {
            return Err("'src' and 'dst' go with host, net and port only".to_owned());
        }
        match kind {
            Kind::True
            | Kind::False
            | Kind::Fragment
            | Kind::Unfragmented
            | Kind::EcnCapable
            | Kind::CongestionExperienced
                if mask.is_some() || operator.is_some() =>
            {
                Err("this test takes no operator".to_owned())
            }
            Kind::True => Ok(Expression::Constant(true)),
            Kind::False => Ok(Expression::Constant(false)),
            Kind::Fragment => Ok(Expression::whole().negate()),
            Kind::Unfragmented => Ok(Expression::whole()),
            Kind::EcnCapable => Ok(Expression::equal(Word::ip(0), 0x0003_0000, 0).negate()),
            Kind::CongestionExperienced => Ok(Expression::equal(Word::ip(0), 0x0003_0000, 0x0003_0000)),
            Kind::Host => self.host(direction, mask, operator),
            Kind::Net => self.net(direction, mask, operator),
            Kind::Port => self.port(direction, primitive.protocol, mask, operator),
            Kind::Protocol => self.protocol(primitive.protocol, mask, operator),
            Kind::TcpFlag => self.tcp_flag(primitive.protocol, mask, operator),
            Kind::IcmpType => self.icmp_type(primitive.protocol, mask, operator),
            Kind::Field(field) => self.field(field, mask, operator),
        }
    }

    fn addresses(
        direction: Direction,
        operator: Option<Operator>,
        address: u32,
        mask: u32,
    ) -> Result<Expression, String> {
        let negated = match operator {
            None | Some(Operator::Equal) => false,
            Some(Operator::NotEqual) => true,
            Some(_) => return Err("addresses are compared with '==' and '!=' only".to_owned()),
        };
        let at = |word| Expression::equal(Word::ip(word), mask, address & mask);
        Ok(directed(direction, at(3), at(4)).negate_if(negated))
    }

    fn host(
        &mut self,
        direction: Direction,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let text = self.take();
        let address = match text.parse::<Ipv4Addr>() {
            Ok(address) => address.into(),
            Err(_) => self
                .graph
                .network(&text)
                .map(|(a, _)| a.into())
                .ok_or_else(|| format!("bad IP address '{text}'"))?,
        };
        Self::addresses(direction, operator, address, mask.unwrap_or(u32::MAX))
    }

    fn net(
        &mut self,
        direction: Direction,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let text = self.take();
        let network = if self.accept(&["mask"]) {
            let mask = self.take();
            parse_partial_address(&text).zip(parse_mask(&mask))
        } else {
            self.network(&text).or_else(|| text.parse::<Ipv4Addr>().ok().map(|a| (a.into(), u32::MAX)))
        };
        let (address, net_mask) = network.ok_or_else(|| format!("bad network '{text}'"))?;
        Self::addresses(direction, operator, address, net_mask & mask.unwrap_or(u32::MAX))
    }

    fn port(
        &mut self,
        direction: Direction,
        protocol: Option<u8>,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let protocols = match protocol {
            None => Expression::with_ports(),
            Some(number @ (ipv4::TCP | ipv4::UDP | 33 | 132 | 136)) => Expression::protocol(number),
            Some(number) => return Err(format!("protocol {number} has no ports")),
        };
        if mask.is_none()
            && operator.is_none()
            && let Some((low, high)) = port_range(self.peek())
        {
            self.at += 1;
            let within = |shift| {
                Expression::And(vec![
                    compare(Word::transport(0), 0xffff, shift, Operator::GreaterOrEqual, u32::from(low)),
                    compare(Word::transport(0), 0xffff, shift, Operator::LessOrEqual, u32::from(high)),
                ])
            };
            let test = directed(direction, within(16), within(0));
            return Ok(Expression::And(vec![protocols, Expression::first_fragment(), test]));
        }
        let (operator, value) = self.operand(mask, operator, |parser, text| {
            let value = number(text).ok().or_else(|| names::port(text).map(u32::from));
            value.or_else(|| parser.graph.port(text).map(u32::from))
        })?;
        if value > 0xffff {
            return Err(format!("port {value} is out of range"));
        }
        let field = mask.unwrap_or(0xffff) & 0xffff;
        let (positive, negated) = without_not_equal(operator);
        let at = |shift| compare(Word::transport(0), field, shift, positive, value);
        let test = directed(direction, at(16), at(0)).negate_if(negated);
        Ok(Expression::And(vec![protocols, Expression::first_fragment(), test]))
    }

    fn protocol(
        &mut self,
        named: Option<u8>,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        if let Some(number) = named {
            return Ok(Expression::protocol(number));
        }
        let (operator, value) = self.operand(mask, operator, |_, text| {
            number(text).ok().or_else(|| names::protocol(text).map(u32::from))
        })?;
        ranged("protocol", value, 8)?;
        Ok(compare(Word::ip(2), mask.unwrap_or(0xff) & 0xff, 16, operator, value))
    }

    fn tcp_flag(
        &mut self,
        protocol: Option<u8>,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        if protocol.is_some_and(|p| p != ipv4::TCP) || mask.is_some() || operator.is_some() {
            return Err("'opt' goes with tcp only and takes no operator".to_owned());
        }
        let text = self.take();
        let flag = names::tcp_flag(&text).ok_or_else(|| format!("unknown TCP option '{text}'"))?;
        let bit = u32::from(flag) << 16;
        Ok(Expression::And(vec![
            Expression::protocol(ipv4::TCP),
            Expression::first_fragment(),
            Expression::equal(Word::transport(3), bit, bit),
        ]))
    }

    fn icmp_type(
        &mut self,
        protocol: Option<u8>,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        if protocol.is_some_and(|p| p != ipv4::ICMP) {
            return Err("'type' goes with icmp only".to_owned());
        }
        let (operator, value) = self.operand(mask, operator, |_, text| {
            number(text).ok().or_else(|| names::icmp_type(text).map(u32::from))
        })?;
        ranged("ICMP type", value, 8)?;
        Ok(Expression::And(vec![
            Expression::protocol(ipv4::ICMP),
            Expression::first_fragment(),
            compare(Word::transport(0), mask.unwrap_or(0xff) & 0xff, 24, operator, value),
        ]))
    }

    fn field(
        &mut self,
        field: Field,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let (operator, value) = self.operand(mask, operator, |_, text| number(text).ok())?;
        ranged("value", value, field.bits)?;
        let bytes = (field.shift + field.bits).div_ceil(8);
        let shift = (4 - u32::from(field.byte % 4) - bytes) * 8 + field.shift;
        let all = u32::MAX >> (32 - field.bits);
        let word = match field.header {
            Header::Ip => Word::ip(field.byte / 4),
            Header::Transport(_) => Word::transport(field.byte / 4),
        };
        let test = compare(word, mask.unwrap_or(all) & all, shift, operator, value);
        Ok(match field.header {
            Header::Ip => test,
            Header::Transport(None) => Expression::And(vec![Expression::first_fragment(), test]),
            Header::Transport(Some(protocol)) => {
                Expression::And(vec![Expression::protocol(protocol), Expression::first_fragment(), test])
            }
        })
    }

    /// Operator and value; after a mask both may be missing, which asks for "not zero".
    fn operand(
        &mut self,
        mask: Option<u32>,
        operator: Option<Operator>,
        read: impl Fn(&Self, &str) -> Option<u32>,
    ) -> Result<(Operator, u32), String> {
        match read(self, self.peek()) {
            Some(value) => {
                self.at += 1;
                Ok((operator.unwrap_or(Operator::Equal), value))
            }
            None if mask.is_some() && operator.is_none() => Ok((Operator::NotEqual, 0)),
            None if self.peek().is_empty() => Err("value missing at end of pattern".to_owned()),
            None => Err(format!("bad value '{}'", self.peek())),
        }
    }
}

fn directed(direction: Direction, source: Expression, destination: Expression) -> Expression {
    match direction {
        Direction::Source => source,
        Direction::Destination => destination,
        Direction::Both => Expression::And(vec![source, destination]),
        Direction::Either => Expression::Or(vec![source, destination]),
    }
}

fn without_not_equal(operator: Operator) -> (Operator, bool) {
    if operator == Operator::NotEqual { (Operator::Equal, true) } else { (operator, false) }
}

/// A comparison of the bits `field << shift` of a word.
fn compare(word: Word, field: u32, shift: u32, operator: Operator, value: u32) -> Expression {
    let mask = field << shift;
    let above = |value: u32| Expression::greater(word, mask, value.min(field) << shift);
    match operator {
        Operator::Equal if value & !field != 0 => Expression::Constant(false),
        Operator::NotEqual if value & !field != 0 => Expression::Constant(true),
        Operator::Equal => Expression::equal(word, mask, value << shift),
        Operator::NotEqual => Expression::equal(word, mask, value << shift).negate(),
        Operator::Greater => above(value),
        Operator::LessOrEqual => above(value).negate(),
        Operator::GreaterOrEqual => value.checked_sub(1).map_or(Expression::Constant(true), above),
        Operator::Less => value.checked_sub(1).map_or(Expression::Constant(false), |v| above(v).negate()),
    }
}

fn ranged(what: &str, value: u32, bits: u32) -> Result<(), String> {
    if bits < 32 && value >> bits != 0 {
        return Err(format!("{what} {value} is out of range"));
    }
    Ok(())
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("'{text}' is no number"))
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-')?;
    let range = (low.parse().ok()?, high.parse().ok()?);
    (range.0 <= range.1).then_some(range)
}

/// A dotted address; missing last bytes are zero, as in `10.0/16`.
fn parse_partial_address(text: &str) -> Option<u32> {
    let parts: Vec<_> = text.split('.').map(|part| part.parse::<u8>().ok()).collect::<Option<_>>()?;
    let mut bytes = [0; 4];
    bytes.get_mut(..parts.len())?.copy_from_slice(&parts);
    Some(u32::from_be_bytes(bytes))
}

/// A prefix length or a dotted mask.
fn parse_mask(text: &str) -> Option<u32> {
    match text.parse::<u32>() {
        Ok(bits @ 0..=32) => Some(u32::MAX.checked_shl(32 - bits).unwrap_or(0)),
        Ok(_) => None,
        Err(_) => text.parse::<Ipv4Addr>().ok().map(u32::from),
    }
}
