//! The client: many UDP flows at one constant total rate, a download beside them, and books on both.
//!
//! One thread sleeps for a millisecond at a time, sends what is due and reads what has come; the kernel stamps the
//! arrivals, so the sleep does not blur the gaps. Lines on standard input steer it: `mark NAME` ends an interval,
//! `stop` or the end of the input ends the run. It answers with one JSON object a line.

use std::io::{self, BufRead, IoSliceMut, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::{TimeSpec, TimeValLike};
use serde::{Deserialize, Serialize};

use super::arrivals::Counts;
use super::download::{Download, DownloadReport};
use super::ledger::{Ledger, Report};
use super::message::{HEADER_BYTES, Kind, MAX_BYTES, Message};
use crate::Error;

const TICK: Duration = Duration::from_millis(1);
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// What is due after a longer pause of the client itself is never sent: a burst would measure the client.
const LONGEST_DEBT: Duration = Duration::from_millis(20);
const EVENTS: usize = 1024;

/// What to send, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the server listens.
    pub server: SocketAddr,
    /// UDP flows, each with a source port of its own.
    pub flows: u32,
    /// Packets a second over all flows.
    pub packets_per_second: u32,
    /// Bytes of UDP payload, between [`HEADER_BYTES`] and [`MAX_BYTES`].
    pub payload_bytes: usize,
    /// Bytes a second of the download; none if zero.
    pub tcp_bytes_per_second: u64,
    /// The end of the run; without it, standard input says when.
    pub duration: Option<Duration>,
    /// How long a packet may be under way before it counts as lost.
    pub drain: Duration,
    /// How long to wait for a first answer.
    pub patience: Duration,
}

/// What the client prints, one object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The path is there and counting begins.
    Started {
        /// Number of flows.
        flows: u32,
    },
    /// A marked interval is settled.
    Interval(Report),
    /// The end.
    Report {
        /// The whole run.
        total: Report,
        /// Share of one core that the client used, in percent.
        cpu_percent: f64,
        /// Packets that the client's own host refused to send; they count as not sent.
        send_errors: u64,
    },
}

enum Command {
    Mark(String),
    Stop,
}

/// Runs the plan; prints events to standard output and answers the last one.
pub fn run(plan: &Plan, commands_from_stdin: bool) -> Result<Event, Error> {
    check(plan)?;
    let commands = commands_from_stdin.then(read_commands);
    Client::open(plan)?.run(commands)
}

fn check(plan: &Plan) -> Result<(), Error> {
    if plan.flows == 0 || plan.packets_per_second == 0 {
        return Err(Error::invalid("traffic plan", "flows and rate must be at least 1"));
    }
    if !(HEADER_BYTES..=MAX_BYTES).contains(&plan.payload_bytes) {
        let problem =
            format!("a payload has {HEADER_BYTES} to {MAX_BYTES} bytes, not {}", plan.payload_bytes);
        return Err(Error::invalid("traffic plan", problem));
    }
    Ok(())
}

fn read_commands() -> Receiver<Command> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let command = match line.trim().split_once(' ') {
                Some(("mark", name)) => Command::Mark(name.trim().to_owned()),
                None if line.trim() == "stop" => Command::Stop,
                _ => {
                    eprintln!("unknown command {line:?}; known are \"mark NAME\" and \"stop\"");
                    continue;
                }
            };
            // A receiver that is gone has stopped already.
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Client<'a> {
    plan: &'a Plan,
    session: u64,
    sockets: Vec<UdpSocket>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    control: Vec<u8>,
    arrivals: Vec<(u64, Message, bool)>,
    answered: bool,
    send_errors: u64,
}

impl<'a> Client<'a> {
    fn open(plan: &'a Plan) -> Result<Self, Error> {
        allow_open_files(u64::from(plan.flows) + 64)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(Error::errno("create epoll"))?;
        let mut sockets = Vec::with_capacity(plan.flows as usize);
        for flow in 0..plan.flows {
            let socket =
                open_flow(plan.server).map_err(Error::io(format!("open flow {flow} to {}", plan.server)))?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(flow));
            epoll.add(&socket, event).map_err(Error::errno("watch a flow"))?;
            sockets.push(socket);
        }
        Ok(Self {
            plan,
            session: wall_clock_ns() ^ u64::from(std::process::id()).rotate_left(48),
            sockets,
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
            control: nix::cmsg_space!(TimeSpec),
            arrivals: Vec::with_capacity(EVENTS),
            answered: false,
            send_errors: 0,
        })
    }

    fn run(mut self, commands: Option<Receiver<Command>>) -> Result<Event, Error> {
        self.wait_for_server()?;
        let mut download = self.start_download()?;
        let (cpu, started) = (cpu_time(), Instant::now());
        let mut ledger = Ledger::new(self.plan.flows, self.plan.drain, wall_clock_ns());
        print(&Event::Started { flows: self.plan.flows })?;
        let mut pace = Pace::new(self.plan.packets_per_second);
        let (mut next_flow, mut marks) = (0, Vec::new());
        let mut tcp_total = DownloadReport { ok: true, ..DownloadReport::default() };
        loop {
            thread::sleep(TICK);
            let stop = take_commands(commands.as_ref(), &mut marks)
                || self.plan.duration.is_some_and(|duration| started.elapsed() >= duration);
            for _ in 0..pace.due(started.elapsed()) {
                self.send(next_flow, &mut ledger);
                next_flow = (next_flow + 1) % self.plan.flows;
            }
            self.receive(&mut ledger)?;
            if !marks.is_empty() && ledger.can_mark() {
                let tcp = download.as_mut().map(|download| account(download, &mut tcp_total));
                ledger.mark(marks.remove(0), wall_clock_ns(), tcp);
            }
            if let Some(interval) = ledger.settle(wall_clock_ns()) {
                print(&Event::Interval(interval))?;
            }
            if stop {
                break;
            }
        }
        let ended = wall_clock_ns();
        let cpu_percent = 100.0 * (cpu_time() - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
        if let Some(download) = &mut download {
            account(download, &mut tcp_total);
        }
        self.drain(&mut ledger)?;
        let total = ledger.total(ended, download.is_some().then_some(tcp_total));
        let report = Event::Report { total, cpu_percent, send_errors: self.send_errors };
        print(&report)?;
        Ok(report)
    }

    /// Asks until the path answers; what is lost before is nobody's fault: a neighbour is still being resolved.
    fn wait_for_server(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let mut ledger = Ledger::new(1, self.plan.drain, 0);
        while !self.answered {
            if started.elapsed() > self.plan.patience {
                return Err(Error::Timeout {
                    what: format!("a first answer from {}", self.plan.server),
                    seconds: self.plan.patience.as_secs_f64(),
                    last: "nothing came back".into(),
                });
            }
            // Refused or unreachable: asked again.
            let _ = self.send_message(0, Kind::Probe, 0, wall_clock_ns());
            let asked = Instant::now();
            while !self.answered && asked.elapsed() < PROBE_INTERVAL {
                thread::sleep(TICK);
                self.receive(&mut ledger)?;
            }
        }
        Ok(())
    }

    fn start_download(&self) -> Result<Option<Download>, Error> {
        let Plan { server, tcp_bytes_per_second, patience, .. } = *self.plan;
        (tcp_bytes_per_second > 0)
            .then(|| Download::start(server, self.session, tcp_bytes_per_second, patience))
            .transpose()
    }

    fn send(&mut self, flow: u32, ledger: &mut Ledger) {
        let now = wall_clock_ns();
        match self.send_message(flow, Kind::Data, ledger.next_sequence(flow), now) {
            Ok(()) => ledger.sent(flow, now),
            Err(_) => self.send_errors += 1,
        }
    }

    fn send_message(&self, flow: u32, kind: Kind, sequence: u32, now: u64) -> io::Result<()> {
        let mut payload = [0; MAX_BYTES];
        let payload = &mut payload[..self.plan.payload_bytes];
        Message { kind, session: self.session, flow, sequence, sent_at: now, server: Counts::default() }
            .write(payload);
        let socket = &self.sockets[flow as usize];
        match socket.send(payload) {
            // This tells of an earlier packet; this one has not been tried.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send(payload).map(drop),
            other => other.map(drop),
        }
    }

    /// Reads everything that has come.
    fn receive(&mut self, ledger: &mut Ledger) -> Result<(), Error> {
        loop {
            let ready = match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Error::errno("wait for packets")(errno)),
            };
            for event in 0..ready {
                self.receive_flow(self.events[event].data() as usize);
            }
            // Sockets are read one after the other: only the stamps tell the order.
            self.arrivals.sort_by_key(|(at, ..)| *at);
            for (at, message, intact) in self.arrivals.drain(..) {
                ledger.arrived(at);
                ledger.received(&message, at, intact);
            }
            if ready < EVENTS {
                return Ok(());
            }
        }
    }

    fn receive_flow(&mut self, flow: usize) {
        let mut payload = [0; MAX_BYTES];
        let fd = self.sockets[flow].as_raw_fd();
        loop {
            let mut parts = [IoSliceMut::new(&mut payload)];
            // An empty socket, or an ICMP error that counts as the loss that it reports.
            let Ok(received) = recvmsg::<()>(fd, &mut parts, Some(&mut self.control), MsgFlags::MSG_DONTWAIT)
            else {
                return;
            };
            let length = received.bytes;
            let at =
                received.cmsgs().ok().and_then(|mut all| all.find_map(stamp)).unwrap_or_else(wall_clock_ns);
            let Some(message) = Message::read(&payload[..length]) else { continue };
            if message.session != self.session || message.flow as usize != flow {
                continue;
            }
            match message.kind {
                Kind::Probe => self.answered = true,
                Kind::Data => {
                    let intact =
                        length == self.plan.payload_bytes && message.filler_is_intact(&payload[..length]);
                    self.arrivals.push((at, message, intact));
                }
            }
        }
    }

    fn drain(&mut self, ledger: &mut Ledger) -> Result<(), Error> {
        let started = Instant::now();
        while ledger.outstanding() > 0 && started.elapsed() < self.plan.drain {
            thread::sleep(TICK);
            self.receive(ledger)?;
        }
        Ok(())
    }
}

/// How many packets are due, so that the average rate is constant without bursts after a pause.
struct Pace {
    per_second: f64,
    last: Duration,
    owed: f64,
}

impl Pace {
    fn new(packets_per_second: u32) -> Self {
        Self { per_second: packets_per_second.into(), last: Duration::ZERO, owed: 0.0 }
    }

    fn due(&mut self, elapsed: Duration) -> u64 {
        let since = elapsed.saturating_sub(self.last).min(LONGEST_DEBT);
        self.last = elapsed;
        self.owed += since.as_secs_f64() * self.per_second;
        let due = self.owed.floor();
        self.owed -= due;
        due as u64
    }
}

fn open_flow(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}

fn allow_open_files(wanted: u64) -> Result<(), Error> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(Error::errno("read the limit of open files"))?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(Error::errno(format!(
        "raise the limit of open files from {soft} to {wanted}; use fewer flows"
    )))
}

fn take_commands(commands: Option<&Receiver<Command>>, marks: &mut Vec<String>) -> bool {
    let Some(commands) = commands else { return false };
    loop {
        match commands.try_recv() {
            Ok(Command::Mark(name)) => marks.push(name),
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
            Err(TryRecvError::Empty) => return false,
        }
    }
}

/// Reports the interval of the download and adds it to the whole.
fn account(download: &mut Download, total: &mut DownloadReport) -> DownloadReport {
    let interval = download.report();
    total.ok &= interval.error.is_none();
    total.bytes += interval.bytes;
    total.longest_stall_ms = total.longest_stall_ms.max(interval.longest_stall_ms);
    total.error.clone_from(&interval.error);
    interval
}

fn stamp(message: ControlMessageOwned) -> Option<u64> {
    match message {
        ControlMessageOwned::ScmTimestampns(time) => u64::try_from(time.num_nanoseconds()).ok(),
        _ => None,
    }
}

fn wall_clock_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

fn cpu_time() -> Duration {
    let micros = getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn print(event: &Event) -> Result<(), Error> {
    let line = serde_json::to_string(event).map_err(|error| Error::invalid("traffic report", error))?;
    writeln!(io::stdout().lock(), "{line}").map_err(Error::io("write to standard output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_keeps_its_average_and_forgives_a_long_pause() {
        let mut pace = Pace::new(1500);
        let sent: u64 = (1..=1000).map(|ms| pace.due(Duration::from_millis(ms))).sum();
        assert!((1499..=1500).contains(&sent), "{sent}");
        assert!(pace.due(Duration::from_secs(10)) <= 31);
    }

    #[test]
    fn a_plan_without_flows_or_with_an_impossible_payload_is_refused() {
        let good = Plan {
            server: ([127, 0, 0, 1], 1).into(),
            flows: 1,
            packets_per_second: 1,
            payload_bytes: 64,
            tcp_bytes_per_second: 0,
            duration: None,
            drain: Duration::from_secs(1),
            patience: Duration::from_secs(1),
        };
        assert!(check(&good).is_ok());
        assert!(check(&Plan { flows: 0, ..good.clone() }).is_err());
        assert!(check(&Plan { payload_bytes: HEADER_BYTES - 1, ..good.clone() }).is_err());
        assert!(check(&Plan { payload_bytes: MAX_BYTES + 1, ..good }).is_err());
    }
}
