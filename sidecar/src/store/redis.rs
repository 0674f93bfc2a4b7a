//! The only place that talks to Redis: one thread that writes, one that reads.
//!
//! The writer carries commands out in order and repeats an append or a seal until it knows what became of it; the
//! scripts make a repetition harmless. The reader looks peers up and follows a log. Both report through one sink, and
//! neither ever makes the packet thread wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{Commands, Connection, ErrorKind, RedisError, Script};

use super::{OwnerEntry, Ownership, StoreCommand, StoreEvent, scripts};

const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
const PING_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// A follower that has everything waits this long for the next frame.
const FOLLOW_BLOCK_MS: usize = 10;
const FOLLOW_COUNT: usize = 512;

/// Which store, and which shard in it.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// For example `redis://redis:6379`.
    pub url: String,
    /// UID of the function.
    pub function: String,
    /// The sub-function.
    pub sub_function: String,
}

/// Where events go. Called on the store's threads; may block when the receiver is behind.
type Sink = Arc<dyn Fn(StoreEvent) + Send + Sync>;

/// Sends commands to the store's threads. They end when it is dropped.
#[derive(Debug)]
pub struct StoreHandle {
    writer: Sender<StoreCommand>,
    reader: Sender<StoreCommand>,
}

impl StoreHandle {
    pub(super) fn new(writer: Sender<StoreCommand>, reader: Sender<StoreCommand>) -> Self {
        Self { writer, reader }
    }

    /// Hands a command over; never blocks.
    pub fn send(&self, command: StoreCommand) {
        let queue = match command {
            StoreCommand::Lookup { .. } | StoreCommand::Follow { .. } | StoreCommand::Unfollow => {
                &self.reader
            }
            _ => &self.writer,
        };
        // A thread that is gone has panicked and said so; the owner then serves without a store.
        let _ = queue.send(command);
    }
}

/// Starts the threads. The first connection is made when the first command comes.
pub fn connect(
    settings: &StoreSettings,
    sink: impl Fn(StoreEvent) + Send + Sync + 'static,
) -> Result<StoreHandle, RedisError> {
    let client = redis::Client::open(settings.url.as_str())?;
    let sink: Sink = Arc::new(sink);
    let keys = Keys::new(settings);
    let ((writer, writer_commands), (reader, reader_commands)) = (channel(), channel());
    let (for_writer, for_reader) = (Link::new(client.clone()), Link::new(client));
    let (keys_of_writer, sink_of_writer) = (keys.clone(), sink.clone());
    spawn("anf-store-write", move || {
        Writer { link: for_writer, keys: keys_of_writer, sink: sink_of_writer, down: false }
            .run(&writer_commands);
    });
    spawn("anf-store-read", move || {
        Reader { link: for_reader, keys, sink, following: None }.run(&reader_commands);
    });
    Ok(StoreHandle::new(writer, reader))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    let spawned = thread::Builder::new().name(name.into()).spawn(body);
    if let Err(error) = spawned {
        tracing::error!(%error, name, "a thread of the state store does not start");
    }
}

#[derive(Debug, Clone)]
struct Keys {
    function: String,
    own: String,
    log: String,
    snapshot: String,
}

impl Keys {
    fn new(settings: &StoreSettings) -> Self {
        let shard = format!("{{{}/{}}}", settings.function, settings.sub_function);
        Self {
            function: settings.function.clone(),
            own: format!("own:{shard}"),
            log: format!("log:{shard}"),
            snapshot: format!("snap:{shard}"),
        }
    }

    fn blob(&self, base: u64, index: u32) -> String {
        format!("{}:{base}:{index}", self.snapshot)
    }

    fn own_of(&self, peer: &str) -> String {
        format!("own:{{{}/{peer}}}", self.function)
    }
}

/// A connection that is made when it is needed.
struct Link {
    client: redis::Client,
    connection: Option<Connection>,
}

impl Link {
    fn new(client: redis::Client) -> Self {
        Self { client, connection: None }
    }

    fn get(&mut self) -> Result<&mut Connection, RedisError> {
        if self.connection.is_none() {
            let connection = self.client.get_connection_with_timeout(ANSWER_PATIENCE)?;
            connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
            connection.set_write_timeout(Some(ANSWER_PATIENCE))?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| RedisError::from((ErrorKind::Io, "no connection")))
    }

    fn lost(&mut self) {
        self.connection = None;
    }
}

/// The answer of the claim, append and seal scripts.
type ScriptAnswer = (String, String, String, Option<String>, Option<String>, Option<String>);

fn ownership(
    epoch: &str,
    last: &str,
    owner: Option<String>,
    address: Option<String>,
    node: Option<String>,
) -> Ownership {
    Ownership {
        epoch: epoch.parse().unwrap_or(0),
        last_frame: last.parse().unwrap_or(0),
        entry: OwnerEntry {
            owner: owner.unwrap_or_default(),
            address: address.unwrap_or_default(),
            node: node.unwrap_or_default(),
        },
    }
}

fn read_owner(connection: &mut Connection, key: &str) -> Result<Option<Ownership>, RedisError> {
    let fields: [Option<String>; 5] =
        redis::cmd("HMGET").arg(key).arg(&["epoch", "last", "owner", "address", "node"]).query(connection)?;
    let [epoch, last, owner, address, node] = fields;
    Ok(epoch.map(|epoch| ownership(&epoch, last.as_deref().unwrap_or("0"), owner, address, node)))
}

// ---- the writer -------------------------------------------------------------------------------------------------

struct Writer {
    link: Link,
    keys: Keys,
    sink: Sink,
    down: bool,
}

/// A command that did not work out.
struct Failure {
    error: RedisError,
    /// Whether it may have been carried out all the same.
    in_doubt: bool,
}

impl Writer {
    fn run(mut self, commands: &Receiver<StoreCommand>) {
        loop {
            match commands.recv_timeout(if self.down { RETRY_INTERVAL } else { PING_INTERVAL }) {
                Ok(command) => self.carry_out(&command),
                Err(RecvTimeoutError::Timeout) => self.ping(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Does one command. What must not be lost is repeated until its fate is known.
    fn carry_out(&mut self, command: &StoreCommand) {
        loop {
            let failure = match self.attempt(command) {
                Ok(event) => {
                    self.came_up();
                    if let Some(event) = event {
                        (self.sink)(event);
                    }
                    return;
                }
                Err(failure) => failure,
            };
            self.went_down(&failure.error);
            match command {
                StoreCommand::Seal { .. } if !failure.in_doubt => {
                    return (self.sink)(StoreEvent::SealNotSent { reason: failure.error.to_string() });
                }
                StoreCommand::Append { .. } | StoreCommand::Seal { .. } => thread::sleep(RETRY_INTERVAL),
                _ => return,
            }
        }
    }

    fn attempt(&mut self, command: &StoreCommand) -> Result<Option<StoreEvent>, Failure> {
        let connection = self.link.get().map_err(|error| Failure { error, in_doubt: false })?;
        let result = execute(connection, &self.keys, command);
        result.map_err(|error| {
            // An answer that refuses is an answer; anything else may have come too late.
            let in_doubt = error.is_io_error() || error.is_timeout();
            if in_doubt {
                self.link.lost();
            }
            Failure { error, in_doubt }
        })
    }

    /// Asks who owns the shard: tells that the store answers, and whether it still has what it had. An owner without
    /// flows writes nothing and would not find out otherwise.
    fn ping(&mut self) {
        match self.read_owner() {
            Ok(known) if self.down => self.is_up(known.is_none()),
            Ok(None) => (self.sink)(StoreEvent::Up { fresh: true }),
            Ok(Some(_)) => {}
            Err(error) => {
                self.link.lost();
                self.went_down(&error);
            }
        }
    }

    fn read_owner(&mut self) -> Result<Option<Ownership>, RedisError> {
        read_owner(self.link.get()?, &self.keys.own)
    }

    fn is_up(&mut self, fresh: bool) {
        self.down = false;
        (self.sink)(StoreEvent::Up { fresh });
    }

    fn went_down(&mut self, error: &RedisError) {
        if !self.down {
            self.down = true;
            (self.sink)(StoreEvent::Down { reason: error.to_string() });
        }
    }

    /// A command was answered.
    fn came_up(&mut self) {
        if !self.down {
            return;
        }
        match self.read_owner() {
            Ok(known) => self.is_up(known.is_none()),
            Err(_) => self.link.lost(),
        }
    }
}

fn execute(
    connection: &mut Connection,
    keys: &Keys,
    command: &StoreCommand,
) -> Result<Option<StoreEvent>, RedisError> {
    Ok(match command {
        StoreCommand::Claim { epoch, entry } => Some(claim(connection, keys, *epoch, entry)?),
        StoreCommand::ReadOwner => Some(StoreEvent::Owner(read_owner(connection, &keys.own)?)),
        StoreCommand::Append { epoch, number, frame } => {
            Some(append(connection, keys, *epoch, *number, frame, None)?)
        }
        StoreCommand::Seal { epoch, number, frame, next } => {
            Some(append(connection, keys, *epoch, *number, frame, Some(next))?)
        }
        StoreCommand::SnapshotBlob { epoch, base, index, blob } => {
            let _: String = Script::new(scripts::SNAPSHOT)
                .key(&keys.own)
                .key(&keys.log)
                .key(keys.blob(*base, *index))
                .arg(*epoch)
                .arg(*base)
                .arg(*index)
                .arg(blob.as_ref())
                .invoke(connection)?;
            None
        }
        StoreCommand::SnapshotDone { epoch, base, blobs } => {
            snapshot_done(connection, keys, *epoch, *base, *blobs)?
        }
        StoreCommand::Lookup { .. } | StoreCommand::Follow { .. } | StoreCommand::Unfollow => None,
    })
}

fn claim(
    connection: &mut Connection,
    keys: &Keys,
    epoch: u64,
    entry: &OwnerEntry,
) -> Result<StoreEvent, RedisError> {
    let incarnation = format!(
        "{:x}",
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
    );
    let (verdict, stored, last, owner, address, node): ScriptAnswer = Script::new(scripts::CLAIM)
        .key(&keys.own)
        .arg(epoch)
        .arg(&entry.owner)
        .arg(&entry.address)
        .arg(&entry.node)
        .arg(incarnation)
        .invoke(connection)?;
    let known = ownership(&stored, &last, owner, address, node);
    // A claim whose answer was lost: the stored owner is the one that claimed.
    let mine = known.entry == *entry && known.epoch == epoch;
    Ok(match verdict.as_str() {
        _ if mine => StoreEvent::Claimed { epoch, last_frame: known.last_frame },
        _ => StoreEvent::ClaimRefused(known),
    })
}

fn append(
    connection: &mut Connection,
    keys: &Keys,
    epoch: u64,
    number: u64,
    frame: &Bytes,
    next: Option<&OwnerEntry>,
) -> Result<StoreEvent, RedisError> {
    let script = Script::new(scripts::APPEND);
    let mut call = script.key(&keys.own);
    call.key(&keys.log).arg(epoch).arg(number).arg(frame.as_ref());
    if let Some(next) = next {
        call.arg(&next.owner).arg(&next.address).arg(&next.node);
    }
    let (verdict, stored, last, owner, address, node): ScriptAnswer = call.invoke(connection)?;
    match verdict.as_str() {
        "OK" if next.is_some() => Ok(StoreEvent::Sealed),
        "OK" => Ok(StoreEvent::Appended { number }),
        "FENCED" => Ok(StoreEvent::Fenced(ownership(&stored, &last, owner, address, node))),
        // The data set is gone or older than what was stored: begin a new one.
        _ if next.is_some() => {
            Ok(StoreEvent::SealNotSent { reason: "the store has lost this function's log".into() })
        }
        _ => Ok(StoreEvent::Up { fresh: true }),
    }
}

fn snapshot_done(
    connection: &mut Connection,
    keys: &Keys,
    epoch: u64,
    base: u64,
    blobs: u32,
) -> Result<Option<StoreEvent>, RedisError> {
    let before: Option<String> = connection.hget(&keys.own, "snapshot")?;
    let before = before.as_deref().and_then(parse_snapshot).filter(|(old, _)| *old != base);
    let script = Script::new(scripts::SNAPSHOT);
    let mut call = script.key(&keys.own);
    call.key(&keys.log);
    if let Some((old, count)) = before {
        (0..count).for_each(|index| {
            call.key(keys.blob(old, index));
        });
    }
    let _: String = call.arg(epoch).arg(base).arg("done").arg(blobs).invoke(connection)?;
    Ok(Some(StoreEvent::SnapshotStored { base }))
}

fn parse_snapshot(text: &str) -> Option<(u64, u32)> {
    let (base, blobs) = text.split_once(' ')?;
    Some((base.parse().ok()?, blobs.parse().ok()?))
}

// ---- the reader -------------------------------------------------------------------------------------------------

struct Following {
    session: u64,
    /// The next frame to read; `None` before the snapshot was loaded.
    next: Option<u64>,
}

struct Reader {
    link: Link,
    keys: Keys,
    sink: Sink,
    following: Option<Following>,
}

impl Reader {
    fn run(mut self, commands: &Receiver<StoreCommand>) {
        loop {
            let command = match self.following {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => commands.recv_timeout(Duration::ZERO),
            };
            match command {
                Ok(StoreCommand::Lookup { peer }) => self.look_up(peer),
                Ok(StoreCommand::Follow { session }) => {
                    self.following = Some(Following { session, next: None })
                }
                Ok(StoreCommand::Unfollow) => self.following = None,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if self.follow().is_err() {
                        self.link.lost();
                        thread::sleep(RETRY_INTERVAL);
                    }
                }
            }
        }
    }

    fn look_up(&mut self, peer: String) {
        let key = self.keys.own_of(&peer);
        match self.link.get().and_then(|connection| read_owner(connection, &key)) {
            Ok(ownership) => (self.sink)(StoreEvent::Directory { peer, ownership }),
            // No answer: the dialler goes on with what it knows.
            Err(_) => self.link.lost(),
        }
    }

    /// One step: the snapshot, or the frames that are new.
    fn follow(&mut self) -> Result<(), RedisError> {
        let Some(Following { session, next }) = &mut self.following else { return Ok(()) };
        let session = *session;
        let connection = self.link.get()?;
        let Some(from) = *next else {
            *next = load_snapshot(connection, &self.keys, session, &self.sink)?;
            return Ok(());
        };
        let options = StreamReadOptions::default().count(FOLLOW_COUNT).block(FOLLOW_BLOCK_MS);
        let after = format!("{}-{}", from - 1, u64::MAX);
        let reply: Option<StreamReadReply> =
            connection.xread_options(&[&self.keys.log], &[after], &options)?;
        let mut reached = from;
        for entry in reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            let number = entry.id.split('-').next().and_then(|number| number.parse().ok());
            let frame: Option<Vec<u8>> = entry.get("f");
            let (Some(number), Some(frame)) = (number, frame) else { continue };
            if number != reached && reached > 1 && number > reached {
                // The log was cut short behind us: the snapshot holds what is missing.
                *next = None;
                return Ok(());
            }
            reached = number + 1;
            (self.sink)(StoreEvent::LogFrame { session, number, frame: frame.into() });
        }
        *next = Some(reached);
        match read_owner(connection, &self.keys.own)? {
            Some(ownership) if ownership.last_frame < reached => {
                (self.sink)(StoreEvent::CaughtUp { session, ownership });
            }
            Some(_) => {}
            None => thread::sleep(RETRY_INTERVAL),
        }
        Ok(())
    }
}

/// Loads the snapshot, if there is one; answers the number of the first frame to read, `None` to try again.
fn load_snapshot(
    connection: &mut Connection,
    keys: &Keys,
    session: u64,
    sink: &Sink,
) -> Result<Option<u64>, RedisError> {
    let snapshot: Option<String> = connection.hget(&keys.own, "snapshot")?;
    let snapshot = snapshot.as_deref().and_then(parse_snapshot);
    let first = snapshot.map_or(1, |(base, _)| base.max(1));
    sink(StoreEvent::FollowReset { session, first });
    let Some((base, blobs)) = snapshot else { return Ok(Some(first)) };
    for index in 0..blobs {
        let blob: Option<Vec<u8>> = connection.get(keys.blob(base, index))?;
        // A blob that is gone: the owner has made a newer snapshot meanwhile.
        let Some(blob) = blob else { return Ok(None) };
        sink(StoreEvent::Blob { session, blob: blob.into() });
    }
    Ok(Some(first))
}
