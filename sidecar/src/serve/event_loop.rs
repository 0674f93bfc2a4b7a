//! The packet thread: waits for sockets, devices, messages and deadlines, and feeds the sans-I/O node and the engine.
//!
//! Nothing here decides anything about ownership or order; it moves bytes between sockets and [`Node`]. It never waits
//! for Redis or HTTP: those run on other threads and leave messages in the inbox.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::control::Carrier;
use crate::handover::node::{Action, ConnId, Destination, DialKey, Event, Node};
use crate::link::connection::{Connection, ConnectionError, Met};
use crate::link::handshake::{Handshake, Hello, Purpose, Terms, Welcome};
use crate::link::transport::TransportError;
use crate::store::{StoreEvent, StoreHandle};

use super::doors::Doors;
use super::requests::Request;
use super::router_engine::RouterEngine;
use super::spin::{Spin, has_spare_core};

const WAKE: u64 = 0;
const DOORS: u64 = 1;
const DEVICES: u64 = 1 << 32;
const CONNECTIONS: u64 = 1 << 33;

/// Bytes read from a socket in one go.
const READ_BYTES: usize = 256 << 10;
/// Connections that have not yet proved who they are.
const MAX_STRANGERS: usize = 64;
/// A greeting must be over within this time.
const GREETING_PATIENCE: u64 = 2_000_000_000;
/// Messages are taken for this long before links have their turn.
const INBOX_TURN: u64 = 500_000;

/// What other threads leave for the packet thread.
#[derive(Debug)]
pub(super) enum Message {
    /// From the store's threads.
    Store(StoreEvent),
    /// From the control API.
    Request(Request),
}

/// Wakes the packet thread.
#[derive(Debug, Clone)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker of a loop that does not exist yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Wakes it, at the latest after what it is doing.
    pub(super) fn wake(&self) {
        // The counter is full only if the loop has not looked for 2^64 wakes.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.0, &mut count);
    }
}

/// Nanoseconds since the Unix epoch that never go back: the wall clock once, the monotonic clock from then on.
#[derive(Debug)]
pub(super) struct Clock {
    base: u64,
    start: Instant,
}

impl Clock {
    /// Starts at the present time.
    pub(super) fn new() -> Self {
        Self { base: crate::engine::Time::system().0, start: Instant::now() }
    }

    /// The time now.
    pub(super) fn now(&self) -> u64 {
        self.base + self.start.elapsed().as_nanos() as u64
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
enum Stage {
    /// Greeting; `since` when it began.
    Greeting { handshake: Box<Handshake>, dial: Option<DialKey>, since: u64 },
    /// The node knows it.
    Up,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    stage: Stage,
    waits_to_write: bool,
}

/// Who this sidecar is on links.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// UID of the function.
    pub function: String,
    /// Hash of the cut.
    pub graph: String,
    /// The sub-function.
    pub name: String,
    /// This sidecar's id.
    pub owner: String,
    /// The function's key.
    pub key: Vec<u8>,
    /// What it asks of links.
    pub terms: Terms,
}

/// The packet thread's loop.
#[derive(Debug)]
pub(super) struct EventLoop {
    pub(super) node: Node,
    pub(super) engine: RouterEngine,
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    pub(super) rate: super::requests::Rate,
    store: StoreHandle,
    inbox: Receiver<Message>,
    waker: Waker,
    doors: Doors,
    pub(super) links: HashMap<ConnId, Link>,
    /// Empty but while rings are looked at.
    pub(super) polled: Vec<ConnId>,
    next_conn: ConnId,
    pub(super) epoll: OwnedFd,
    scratch: Vec<u8>,
    reads_devices: bool,
    pub(super) waiting: bool,
    pub(super) spin: Spin,
    /// How often links ended, by cause.
    pub(super) link_ends: BTreeMap<&'static str, u64>,
    pub(super) stop_at: Option<u64>,
}

impl EventLoop {
    /// Prepares the loop; nothing happens before [`EventLoop::run`].
    pub(super) fn new(
        node: Node,
        engine: RouterEngine,
        identity: Identity,
        doors: Doors,
        store: StoreHandle,
        inbox: Receiver<Message>,
        waker: Waker,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*waker.0, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        for (at, door) in doors.descriptors().enumerate() {
            let token = epoll::EventData::new_u64(DOORS + at as u64);
            epoll::add(&epoll, door, token, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            node,
            engine,
            identity,
            clock: Clock::new(),
            rate: super::requests::Rate::default(),
            store,
            inbox,
            waker,
            doors,
            links: HashMap::new(),
            polled: Vec::new(),
            next_conn: 1,
            epoll,
            scratch: vec![0; READ_BYTES],
            reads_devices: false,
            waiting: false,
            spin: Spin::new(has_spare_core()),
            link_ends: BTreeMap::new(),
            stop_at: None,
        })
    }

    /// Runs until asked to stop.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.node.begin(self.clock.now());
        let mut events = Vec::with_capacity(128);
        self.finish_round();
        while !self.is_over() {
            self.wait(&mut events)?;
            for event in events.drain(..) {
                self.ready(event.data.u64(), event.flags);
            }
            self.poll_rings();
            self.read_inbox();
            self.finish_round();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stop_at.is_some_and(|at| self.clock.now() >= at || !self.node.is_serving())
    }

    fn ready(&mut self, token: u64, flags: epoll::EventFlags) {
        match token {
            WAKE => self.waker.clear(),
            _ if token < DEVICES => self.accept((token - DOORS) as usize),
            _ if token >= CONNECTIONS => self.link_ready(token - CONNECTIONS, flags),
            _ => {
                let readable = flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::ERR);
                let writable = flags.contains(epoll::EventFlags::OUT);
                let at = (token - DEVICES) as usize;
                let id = self.engine.router_ref().devices().nth(at).map(|device| device.id);
                if let Some(id) = id {
                    self.engine.router().device_ready(id, readable, writable);
                    self.engine.device_woke();
                }
            }
        }
    }

    /// Takes messages for a while, not to the last: a store that answers faster than a large state is loaded would
    /// keep links and heartbeats waiting.
    fn read_inbox(&mut self) {
        let until = self.clock.now() + INBOX_TURN;
        while let Ok(message) = self.inbox.try_recv() {
            let now = self.clock.now();
            match message {
                Message::Store(event) => {
                    self.node.handle(Event::Store(event), now, &mut self.engine);
                    self.act();
                }
                Message::Request(request) => self.answer(request, now),
            }
            if now >= until {
                return self.waker.wake();
            }
        }
    }

    /// The node's turn, then everything that it wants done, then the sockets.
    fn finish_round(&mut self) {
        let now = self.clock.now();
        self.node.round(now, &mut self.engine);
        if self.rate.is_due(now) {
            let packets = self.node.packets_in() + self.engine.device_packets();
            self.rate.tick(now, packets);
        }
        self.act();
        self.flush_links();
        while self.node.send_more() {
            self.act();
            self.flush_links();
        }
        self.drop_strangers(now);
        self.watch_devices();
    }

    // ---- devices --------------------------------------------------------------------------------------------

    /// Devices are polled only while their packets can be taken.
    fn watch_devices(&mut self) {
        let wanted = self.engine.is_serving() && self.node.is_serving() && !self.node.must_wait();
        let waits = self.engine.router_ref().devices().any(|device| device.wants_write);
        if wanted == self.reads_devices && !waits {
            return self.watch_links();
        }
        for (at, device) in self.engine.router_ref().devices().enumerate() {
            let Some(fd) = device.device.fd() else { continue };
            let token = epoll::EventData::new_u64(DEVICES + at as u64);
            let mut flags = epoll::EventFlags::empty();
            flags.set(epoll::EventFlags::IN, wanted && device.wants_read);
            flags.set(epoll::EventFlags::OUT, device.wants_write);
            if epoll::modify(&self.epoll, fd, token, flags).is_err()
                && let Err(error) = epoll::add(&self.epoll, fd, token, flags)
            {
                tracing::warn!(%error, "a device cannot be polled");
            }
        }
        self.reads_devices = wanted && !waits;
        self.watch_links();
    }

    /// While a peer does not keep up, packets of other links are left in their sockets.
    fn watch_links(&mut self) {
        let waiting = self.node.must_wait();
        if std::mem::replace(&mut self.waiting, waiting) == waiting {
            return;
        }
        let conns: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in conns {
            self.watch_link(conn);
        }
    }

    // ---- connections ----------------------------------------------------------------------------------------

    fn accept(&mut self, door: usize) {
        loop {
            match self.doors.accept(door) {
                Ok(Some(connection)) => {
                    let strangers =
                        self.links.values().filter(|link| !matches!(link.stage, Stage::Up)).count();
                    if strangers >= MAX_STRANGERS {
                        continue;
                    }
                    let handshake = Box::new(Handshake::listen(&self.identity.key, self.identity.terms));
                    let since = self.clock.now();
                    self.add_link(connection, Stage::Greeting { handshake, dial: None, since });
                }
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "cannot accept a link"),
            }
        }
    }

    fn add_link(&mut self, connection: Connection, stage: Stage) -> Option<ConnId> {
        let conn = self.next_conn;
        self.next_conn += 1;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        let token = epoll::EventData::new_u64(CONNECTIONS + conn);
        if let Err(error) = epoll::add(&self.epoll, &connection, token, flags) {
            tracing::warn!(%error, "a link cannot be polled");
            return None;
        }
        self.links.insert(conn, Link { connection, stage, waits_to_write: true });
        Some(conn)
    }

    fn dial(&mut self, key: DialKey, place: &Destination, to: String, epoch: u64, purpose: Purpose) {
        let Identity { function, graph, name, owner, .. } = self.identity.clone();
        let hello = Hello { function, graph, from: name, to, owner, epoch, purpose };
        let since = self.clock.now();
        let conn = match self.introduce_to(place, hello) {
            Ok((connection, handshake)) => {
                self.add_link(connection, Stage::Greeting { handshake, dial: Some(key), since })
            }
            Err(error) => {
                tracing::debug!(owner = place.owner, address = place.address, error, "cannot dial");
                None
            }
        };
        if conn.is_none() {
            self.node.handle(Event::DialFailed { key }, since, &mut self.engine);
        }
    }

    fn introduce_to(
        &self,
        place: &Destination,
        hello: Hello,
    ) -> Result<(Connection, Box<Handshake>), String> {
        let mut connection = self.doors.dial(place)?;
        let handshake = connection.introduce(&self.identity.key, hello, self.identity.terms);
        Ok((connection, Box::new(handshake.map_err(|error| error.to_string())?)))
    }

    fn link_ready(&mut self, conn: ConnId, flags: epoll::EventFlags) {
        let readable =
            flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush_link(conn);
        }
        if !readable {
            return;
        }
        let Some(link) = self.links.get_mut(&conn) else { return };
        if let Err(error) = link.connection.fill(&mut self.scratch) {
            // What came before the end still counts.
            self.read_link(conn);
            return self.lose(conn, &error);
        }
        self.read_link(conn);
    }

    pub(super) fn read_link(&mut self, conn: ConnId) {
        loop {
            let Some(link) = self.links.get_mut(&conn) else { return };
            let now = self.clock.now();
            match &mut link.stage {
                Stage::Up => match link.connection.next_frame() {
                    Ok(Some(frame)) => {
                        self.node.handle(Event::Frame { conn, frame }, now, &mut self.engine);
                        self.act();
                    }
                    Ok(None) => return,
                    Err(error) => return self.lose(conn, &error),
                },
                Stage::Greeting { handshake, dial, .. } => {
                    let key = *dial;
                    match link.connection.greet(handshake) {
                        Ok(Met::Pending) => return self.flush_link(conn),
                        Ok(Met::Known(hello)) => self.introduce(conn, *hello, now),
                        Ok(Met::Up(welcome)) => {
                            link.stage = Stage::Up;
                            if welcome.takes_ring
                                && self.doors.allows_ring(&link.connection)
                                && let Err(error) = link.connection.offer_ring()
                            {
                                tracing::warn!(%error, "no memory for a ring: the link stays on its socket");
                            }
                            if let Some(key) = key {
                                let event = Event::Connected { conn, key, welcome };
                                self.node.handle(event, now, &mut self.engine);
                                self.act();
                            }
                        }
                        Err(error) => {
                            // The peer gets to know why, if there is something to say.
                            let _ = link.connection.flush();
                            return self.lose(conn, &error);
                        }
                    }
                }
            }
        }
    }

    fn introduce(&mut self, conn: ConnId, hello: Hello, now: u64) {
        if hello.function != self.identity.function {
            return self.refuse(conn, "the two ends belong to different functions");
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.stage = Stage::Up;
        }
        self.node.handle(Event::Accepted { conn, hello }, now, &mut self.engine);
        self.act();
    }

    fn refuse(&mut self, conn: ConnId, reason: &str) {
        if let Some(mut link) = self.links.remove(&conn) {
            link.connection.refuse(reason);
            let _ = link.connection.flush();
        }
    }

    /// A connection that an error ended: all are counted. That peers come and go is no news; the first of any other
    /// cause is worth a line in the log.
    pub(super) fn lose(&mut self, conn: ConnId, error: &ConnectionError) {
        let cause = error.reason();
        let is_news =
            !matches!(error, ConnectionError::Transport(TransportError::Closed | TransportError::Io(_)));
        if is_news && self.links.contains_key(&conn) && !self.link_ends.contains_key(cause) {
            tracing::warn!(conn, %error, "a link ended; later ends with this cause are counted only");
        }
        self.end(conn, cause, error);
    }

    /// A connection is over, or never came to be.
    fn end(&mut self, conn: ConnId, cause: &'static str, reason: &dyn std::fmt::Display) {
        let Some(link) = self.links.remove(&conn) else { return };
        tracing::debug!(conn, cause, %reason, "link closed");
        *self.link_ends.entry(cause).or_default() += 1;
        let now = self.clock.now();
        match link.stage {
            Stage::Up => self.node.handle(Event::Closed { conn }, now, &mut self.engine),
            Stage::Greeting { dial: Some(key), .. } => {
                self.node.handle(Event::DialFailed { key }, now, &mut self.engine);
            }
            Stage::Greeting { dial: None, .. } => {}
        }
        self.act();
    }

    fn drop_strangers(&mut self, now: u64) {
        let late = |link: &Link| matches!(link.stage, Stage::Greeting { since, .. } if now >= since + GREETING_PATIENCE);
        let late: Vec<ConnId> =
            self.links.iter().filter(|(_, link)| late(link)).map(|(conn, _)| *conn).collect();
        for conn in late {
            self.end(conn, "late-greeting", &"the greeting took too long");
        }
    }

    // ---- what the node wants --------------------------------------------------------------------------------

    pub(super) fn act(&mut self) {
        loop {
            let actions: Vec<Action> = self.node.take_actions().collect();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act_once(action);
            }
        }
    }

    fn act_once(&mut self, action: Action) {
        match action {
            Action::Dial { key, destination, to, epoch, purpose } => {
                self.dial(key, &destination, to, epoch, purpose)
            }
            Action::Welcome { conn, welcome } => {
                if let Some(link) = self.links.get_mut(&conn) {
                    let takes_ring = self.doors.allows_ring(&link.connection);
                    link.connection.welcome(Welcome { takes_ring, ..welcome });
                }
            }
            Action::Refuse { conn, reason } => {
                tracing::debug!(conn, reason, "a dialler is sent away");
                self.refuse(conn, &reason);
            }
            Action::Send { conn, frame } => {
                let Some(link) = self.links.get_mut(&conn) else { return };
                if let Err(error) = link.connection.queue(&frame) {
                    self.lose(conn, &error);
                }
            }
            Action::Close { conn, reason } => {
                if let Some(mut link) = self.links.remove(&conn) {
                    tracing::debug!(conn, reason, "link given up");
                    let _ = link.connection.flush();
                }
            }
            Action::Store(command) => self.store.send(command),
            Action::Note(text) => tracing::info!("{text}"),
        }
    }

    fn flush_links(&mut self) {
        let pending = |link: &Link| link.connection.has_output() && !link.waits_to_write;
        let conns: Vec<ConnId> =
            self.links.iter().filter(|(_, link)| pending(link)).map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.flush_link(conn);
        }
        for (conn, link) in &self.links {
            self.node.set_room(*conn, link.connection.room());
        }
    }

    fn flush_link(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        match link.connection.flush() {
            Ok(()) => {
                let waits = link.connection.waits_to_write();
                if std::mem::replace(&mut link.waits_to_write, waits) != waits {
                    self.watch_link(conn);
                }
            }
            Err(error) => self.lose(conn, &error),
        }
    }

    fn watch_link(&mut self, conn: ConnId) {
        let takes_packets = self.node.takes_packets(conn);
        let Some(link) = self.links.get(&conn) else { return };
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, !(self.waiting && takes_packets));
        flags.set(epoll::EventFlags::OUT, link.waits_to_write);
        let token = epoll::EventData::new_u64(CONNECTIONS + conn);
        if let Err(error) = epoll::modify(&self.epoll, link.connection.as_fd(), token, flags) {
            tracing::warn!(%error, "a link cannot be polled");
        }
    }

    pub(super) fn carrier_of(&self, conn: ConnId) -> Carrier {
        let of = |link: &Link| Carrier {
            transport: link.connection.transport(),
            unread_bytes: link.connection.unread_bytes() as u64,
        };
        self.links.get(&conn).map_or(Carrier::default(), of)
    }
}

/// How long after SIGTERM an owner goes on before it ends.
pub(super) const TERMINATION_GRACE: Duration = Duration::from_secs(3);
