//! The values of primitives, and the tests that they mean.

use std::net::Ipv4Addr;

use super::words::{number, parse_mask, parse_partial_address, port_range};
use super::{Direction, Field, Header, Kind, Operator, Parser, Primitive};
use crate::config::EtherAddr;
use crate::elements::classify::ip_expression::{Expression, Word};
use crate::elements::classify::ip_names as names;
use crate::wire::ipv4;

impl Parser<'_> {
    pub(super) fn value(
        &mut self,
        primitive: Primitive,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let kind = match primitive.kind {
            Some(Kind::Host) if primitive.ether => Kind::Ether,
            Some(kind) if primitive.ether && kind != Kind::Ether => {
                return Err("'ether' goes with host only".to_owned());
            }
            Some(kind) => kind,
            None => return Err("empty term".to_owned()),
        };
        let direction = primitive.direction.unwrap_or_default();
        let has_direction = matches!(kind, Kind::Host | Kind::Net | Kind::Ether | Kind::Port);
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
            Kind::Ether => self.ether_host(direction, mask, operator),
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
        let at = |word| Expression::equal(Word::ip(word), mask, address & mask);
        Ok(directed(direction, at(3), at(4)).negate_if(is_not_equal(operator)?))
    }

    fn ether_host(
        &mut self,
        direction: Direction,
        mask: Option<u32>,
        operator: Option<Operator>,
    ) -> Result<Expression, String> {
        let text = self.take();
        let EtherAddr([a, b, c, d, e, f]) =
            self.graph.ether(&text).ok_or_else(|| format!("bad Ethernet address '{text}'"))?;
        if mask.is_some() {
            return Err("'ether host' takes no mask".to_owned());
        }
        let part = |word, mask, bytes| Expression::equal(Word::mac(word), mask, u32::from_be_bytes(bytes));
        let destination = [part(0, u32::MAX, [a, b, c, d]), part(1, 0xffff_0000, [e, f, 0, 0])];
        let source = [part(1, 0x0000_ffff, [0, 0, a, b]), part(2, u32::MAX, [c, d, e, f])];
        let [source, destination] = [source, destination].map(|parts| Expression::And(parts.into()));
        Ok(directed(direction, source, destination).negate_if(is_not_equal(operator)?))
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
                .address(&text)
                .or_else(|| self.graph.network(&text).map(|(address, _)| address))
                .map(u32::from)
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
        Self::addresses(direction, operator, address, mask.unwrap_or(net_mask))
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

/// Whether a comparison of addresses is negated.
fn is_not_equal(operator: Option<Operator>) -> Result<bool, String> {
    match operator {
        None | Some(Operator::Equal) => Ok(false),
        Some(Operator::NotEqual) => Ok(true),
        Some(_) => Err("addresses are compared with '==' and '!=' only".to_owned()),
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
