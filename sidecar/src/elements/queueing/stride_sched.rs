//! StrideSched: pulls from its inputs in proportion to their tickets.
//!
//! Every input has a pass, which goes up by a stride (the fewer tickets, the longer) whenever its turn has come. Turns go
//! by pass, lowest first. `order` always holds the inputs with tickets, sorted by pass; passes may wrap around.

use crate::element::{
    Arg, Args, Batch, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, StateKind,
};
use crate::elements::basic::parse_handler;
use crate::state::{Reader, Schema, StateError, Stateful, Writer};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "StrideSched",
    summary: "pulls from stride-scheduled inputs",
    ports: "1-/1",
    processing: "l/l",
    args: &[Arg::rest("TICKETS", "integer", "tickets of each input: its share of the packets")],
    handlers: &[Handler::both("tickets0", "tickets of input 0; tickets1 and so on for the others")],
    state: StateKind::Small,
    details: "Every input has a pass, which goes up by a stride (the fewer tickets, the longer) when its turn \
              has come; the lowest pass goes first. So packets are shared in proportion to the tickets, at \
              most 32768 an input, and an input without packets costs the others nothing. An input without \
              tickets is never asked.",
    example: r#"
        InfiniteSource(DATA A, LIMIT 9) -> a :: Queue;
        InfiniteSource(DATA B, LIMIT 9) -> b :: Queue;
        a -> sched :: StrideSched(3, 1) -> u :: RatedUnqueue(1000, BURST_SIZE 1) -> Print(CONTENTS ASCII) -> Discard;
        b -> [1] sched;
        DriverManager(wait 7.5ms,
            print "$(a.length) and $(b.length) wait",
            write sched.tickets0 1, wait 4ms,
            print "$(sched.tickets0) and $(sched.tickets1) tickets: $(a.length) and $(b.length) wait",
            write sched.tickets0 0, wait 3ms,
            print "$(a.length) and $(b.length) wait");
    "#,
    build,
    ..Descriptor::BASE
};

/// The stride of one ticket.
const STRIDE: u32 = 1 << 16;
const MAX_TICKETS: u32 = 1 << 15;

struct StrideSched {
    clients: Vec<Client>,
    order: Vec<usize>,
}

/// One input.
#[derive(Clone, Copy)]
struct Client {
    tickets: u32,
    pass: u32,
}

impl Client {
    fn stride(&mut self) {
        self.pass = self.pass.wrapping_add(STRIDE.checked_div(self.tickets).unwrap_or(0));
    }

    /// Whether its turn is after that of `other`.
    fn is_after(&self, other: &Self) -> bool {
        (self.pass.wrapping_sub(other.pass) as i32) > 0
    }
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let given = args.rest();
    if given.len() != args.inputs() {
        return Err(format!("need {} arguments, one per input port", args.inputs()).into());
    }
    let clients = given.iter().enumerate().map(|(at, text)| {
        let tickets = args
            .parse::<i64>("", text)
            .map_err(|_| format!("argument {at} should be number of tickets (integer)"))?;
        let tickets = u32::try_from(tickets.min(MAX_TICKETS.into()))
            .map_err(|_| format!("argument {at} (number of tickets) must be >= 0"))?;
        let mut client = Client { tickets, pass: 0 };
        client.stride();
        Ok(client)
    });
    let clients = clients.collect::<Result<Vec<_>, ConfigError>>()?;
    let mut sched = StrideSched { clients, order: Vec::new() };
    sched.sort();
    Ok(Box::new(sched))
}

impl StrideSched {
    /// Makes the order anew. Of inputs with the same pass, the first goes first.
    fn sort(&mut self) {
        self.order.clear();
        for input in (0..self.clients.len()).rev() {
            if self.clients[input].tickets > 0 {
                self.insert(input);
            }
        }
    }

    fn insert(&mut self, input: usize) {
        self.order.push(input);
        self.place(self.order.len() - 1);
    }

    /// Moves the input at place `at` to where its pass belongs among those before it, ahead of others with the same.
    fn place(&mut self, at: usize) {
        let client = self.clients[self.order[at]];
        let to = self.order[..at].partition_point(|other| client.is_after(&self.clients[*other]));
        self.order[to..=at].rotate_right(1);
    }

    /// Pulls one packet from the first input in order that has one. Returns whether there was any.
    fn pull_one(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) -> bool {
        let before = batch.len();
        let mut asked = 0;
        while asked < self.order.len() && batch.len() == before {
            let input = self.order[asked];
            cx.pull(input, batch, 1);
            self.clients[input].stride();
            asked += 1;
        }
        self.order.rotate_left(asked);
        for at in self.order.len() - asked..self.order.len() {
            self.place(at);
        }
        batch.len() > before
    }

    /// The input of handler `ticketsN`.
    fn input_of(&self, handler: &str) -> Result<usize, HandlerError> {
        let number = handler.strip_prefix("tickets").and_then(|number| number.parse().ok());
        let known = number.filter(|input| *input < self.clients.len());
        known.ok_or_else(|| HandlerError::NoHandler(handler.to_owned()))
    }

    fn set_tickets(&mut self, input: usize, tickets: u32) {
        let had = std::mem::replace(&mut self.clients[input].tickets, tickets);
        if tickets == 0 {
            self.order.retain(|other| *other != input);
        } else if had == 0 {
            self.clients[input].pass = self.order.first().map_or(0, |first| self.clients[*first].pass);
            self.clients[input].stride();
            self.insert(input);
        }
    }
}

impl Element for StrideSched {
    fn pull(&mut self, cx: &mut Cx<'_>, _port: usize, batch: &mut Batch, max: usize) {
        while batch.len() < max && self.pull_one(cx, batch) {}
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        Ok(self.clients[self.input_of(handler)?].tickets.to_string())
    }

    fn write(&mut self, cx: &mut Cx<'_>, handler: &str, value: &str) -> Result<(), HandlerError> {
        let input = self.input_of(handler)?;
        let tickets: i64 = parse_handler(value)?;
        let tickets = u32::try_from(tickets.min(MAX_TICKETS.into()));
        let tickets =
            tickets.map_err(|_| HandlerError::Refused("number of tickets must be >= 0".to_owned()))?;
        self.set_tickets(input, tickets);
        cx.wake_pullers(0);
        Ok(())
    }

    fn stateful(&mut self) -> Option<&mut dyn Stateful> {
        Some(self)
    }
}

impl Stateful for StrideSched {
    fn schema(&self) -> Schema {
        Schema { name: "stride-sched", version: 2 }
    }

    fn save(&self, w: &mut Writer) {
        for client in &self.clients {
            w.put_u32(client.tickets);
            w.put_u32(client.pass);
        }
        // Inputs with the same pass stand in the order of their turns.
        for input in &self.order {
            w.put_u32(*input as u32);
        }
    }

    fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for client in &mut self.clients {
            *client = Client { tickets: r.get_u32()?, pass: r.get_u32()? };
            if client.tickets > MAX_TICKETS {
                return Err(StateError::Invalid { what: "number of tickets", value: client.tickets.into() });
            }
        }
        self.sort();
        let mut order = Vec::with_capacity(self.order.len());
        for _ in 0..self.order.len() {
            let input = r.get_u32()?;
            if !self.order.contains(&(input as usize)) || order.contains(&(input as usize)) {
                return Err(StateError::Invalid { what: "input", value: input.into() });
            }
            order.push(input as usize);
        }
        self.order = order;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::state::{Reader, StateError, Writer};
    use crate::testing::Bench;

    const TEXT: &str = "a :: TestIn -> Queue -> s :: StrideSched(3, 1) -> out :: TestPuller;
                        b :: TestIn -> Queue -> [1]s;";

    fn filled() -> Bench {
        let mut bench = Bench::new(TEXT);
        for _ in 0..9 {
            bench.push("a", b"a");
            bench.push("b", b"b");
        }
        bench
    }

    fn pulled(bench: &mut Bench, max: usize) -> String {
        bench.pull("out", max).iter().map(|p| p.data()[0] as char).collect()
    }

    #[test]
    fn inputs_are_served_in_proportion_to_their_tickets() {
        let mut bench = filled();
        let got = pulled(&mut bench, 8);
        assert_eq!(got.matches('a').count(), 6, "{got}");
        assert!(got.starts_with("aaab"), "{got}");
    }

    #[test]
    fn an_empty_input_costs_the_others_nothing() {
        let mut bench = Bench::new(TEXT);
        for _ in 0..3 {
            bench.push("b", b"b");
        }
        assert_eq!(pulled(&mut bench, 9), "bbb");
    }

    #[test]
    fn tickets_can_be_changed_and_none_means_never() {
        let mut bench = filled();
        bench.router.write_handler("s", "tickets0", "0").unwrap();
        assert_eq!((pulled(&mut bench, 3), bench.read("s", "tickets0")), ("bbb".into(), "0".into()));
        bench.router.write_handler("s", "tickets0", "99999").unwrap();
        assert_eq!(bench.read("s", "tickets0"), "32768");
        assert!(pulled(&mut bench, 9).matches('a').count() >= 8);
        assert!(bench.router.write_handler("s", "tickets0", "-1").is_err());
        assert!(bench.router.write_handler("s", "tickets2", "1").is_err());
    }

    #[test]
    fn turns_go_on_after_a_move() {
        let (mut from, mut to) = (filled(), filled());
        let (first, expected) = (pulled(&mut from, 3), pulled(&mut filled(), 8));
        from.move_to(&mut to);
        // The queues moved too: what was pulled is gone.
        assert_eq!(first + &pulled(&mut to, 5), expected);
    }

    #[test]
    fn every_input_needs_its_tickets() {
        let error = Bench::error("Idle -> StrideSched(1, 2) -> Discard;");
        assert!(error.contains("need 1 arguments, one per input port"), "{error}");
        let error = Bench::error("Idle -> StrideSched(-1) -> Discard;");
        assert!(error.contains("argument 0 (number of tickets) must be >= 0"), "{error}");
    }

    #[test]
    fn an_order_that_names_an_input_twice_is_no_state() {
        let mut bench = Bench::new(TEXT);
        let id = bench.router.find("s").unwrap();
        let state = bench.router.state_of(id).unwrap();
        let mut w = Writer::new();
        for value in [3, 7, 1, 7, 0, 0] {
            w.put_u32(value);
        }
        let error = state.restore(&mut Reader::new(w.as_bytes())).unwrap_err();
        assert_eq!(error, StateError::Invalid { what: "input", value: 0 });
    }
}
