//! All parts of a cut on this machine, each its own process, joined by the links that pods use.
//!
//! This process starts the others, asks them how far they are, and ends them. A part that stops ends the run; a driver
//! script in any part decides for all. Packets that are under way then still arrive: the run ends when every link is
//! empty and no part has anything to do, or after a second of waiting for that. It ends, too, when nothing can happen
//! any more: that, and no part has a timer or a device.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::signals::Signals;
use crate::link_map::LinkMap;
use crate::serve::beside::{Answer, Ask, MeetingPlace, Progress};

/// Between two looks at the parts.
const LOOK: Duration = Duration::from_millis(5);
/// A part that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long packets under way are waited for at the end.
const DRAIN: Duration = Duration::from_secs(1);
/// Signals that ask for the end.
const STOPPING: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

/// The processes of a run; those that are left are killed when it is dropped.
pub(super) struct Processes {
    parts: Vec<Part>,
    /// Edges and signals that packets are under way on, by id.
    ways: Vec<u16>,
    /// What the parts said last.
    progress: Vec<Progress>,
    place: MeetingPlace,
}

struct Part {
    name: String,
    process: Child,
    asks: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Drop for Processes {
    fn drop(&mut self) {
        for part in &mut self.parts {
            let _ = part.process.kill();
            let _ = part.process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.place.0);
    }
}

impl Processes {
    /// Starts all parts of the cut in `dir`.
    pub(super) fn start(dir: &Path) -> Result<Self, String> {
        let map = LinkMap::read(dir).map_err(|error| error.to_string())?;
        let place = meeting_place().map_err(|error| format!("cannot make a place for sockets: {error}"))?;
        let ways = map.edges.iter().flat_map(|edge| [Some(edge.id), edge.signal]).flatten().collect();
        let mut processes = Self { parts: Vec::new(), ways, progress: Vec::new(), place };
        let runner = processes.place.runner();
        let listener = UnixListener::bind(&runner)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| format!("{}: {error}", runner.display()))?;
        for part in &map.parts {
            let part = processes.start_part(dir, &part.name, &listener)?;
            processes.parts.push(part);
        }
        Ok(processes)
    }

    fn start_part(&self, dir: &Path, name: &str, listener: &UnixListener) -> Result<Part, String> {
        let failed = |error: std::io::Error| format!("cannot start part \"{name}\": {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--parts").arg(dir).arg("--part").arg(name);
        // A group of its own: what the terminal sends is for this process to decide about.
        command.arg("--meeting-place").arg(&self.place.0).process_group(0);
        let mut process = command.spawn().map_err(failed)?;
        match meet(&mut process, name, listener) {
            Ok(stream) => {
                let asks = stream.get_ref().try_clone().map_err(failed)?;
                Ok(Part { name: name.to_owned(), process, asks, answers: stream })
            }
            Err(message) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(message)
            }
        }
    }

    /// Runs until a part stops, its driver script says so, or a signal comes; then until all is quiet.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut signals = Signals::watch(&STOPPING).map_err(|error| format!("signals: {error}"))?;
        while !self.look()? {
            if signals.arrived() && !signals.take().is_empty() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        self.drain()
    }

    /// Asks all parts how far they are, and lets a driver script decide about requests to stop. Says whether it is the
    /// end.
    fn look(&mut self) -> Result<bool, String> {
        let before = done(&self.progress);
        self.ask_all()?;
        let progress = &self.progress;
        if progress.iter().any(|part| part.stopped) {
            return Ok(true);
        }
        let asked = progress.iter().map(|part| part.asked).sum();
        if asked == 0 {
            // One of them could have been asked before it did something, but not twice.
            let idle = before == done(progress) && !progress.iter().any(|part| part.waits);
            return Ok(idle && self.is_quiet());
        }
        let Some(driver) = progress.iter().position(|part| part.has_driver) else { return Ok(true) };
        for (part, progress) in self.parts.iter_mut().zip(progress) {
            if progress.asked > 0 {
                part.ask(&Ask::GoOn)?;
            }
        }
        self.parts[driver].ask(&Ask::Stop(asked))?;
        Ok(false)
    }

    /// Waits until nothing is under way, twice in a row. A part that never rests is not waited for longer than
    /// [`DRAIN`].
    fn drain(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        let mut quiet = 0;
        while quiet < 2 && begin.elapsed() < DRAIN {
            std::thread::sleep(LOOK);
            self.ask_all()?;
            quiet = if self.is_quiet() { quiet + 1 } else { 0 };
        }
        Ok(())
    }

    fn ask_all(&mut self) -> Result<(), String> {
        self.progress = self.parts.iter_mut().map(Part::progress).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Whether all links are empty and nothing is ready to run.
    fn is_quiet(&self) -> bool {
        let rests = |part: &Progress| !part.ready || part.stopped || part.asked > 0;
        let arrived = |way: &u16| {
            let of = |(id, count): &(u16, u64)| (id == way).then_some(*count);
            let sent = self.progress.iter().flat_map(|part| &part.sent).find_map(of);
            sent == self.progress.iter().flat_map(|part| &part.taken).find_map(of)
        };
        self.progress.iter().all(rests) && self.ways.iter().all(arrived)
    }

    /// The value of a read handler, of the first part that has it.
    pub(super) fn read(&mut self, path: &str) -> Result<String, String> {
        let mut refused = None;
        for part in &mut self.parts {
            match part.ask(&Ask::Read(path.to_owned()))? {
                Answer::Value(Ok(value)) => return Ok(value),
                Answer::Value(Err(error)) => drop(refused.get_or_insert(error)),
                _ => return Err(part.talks_nonsense()),
            }
        }
        Err(refused.unwrap_or_else(|| format!("{path}: no part")))
    }

    /// Ends all parts, and waits for that: what they wrote is complete then.
    pub(super) fn end(mut self) -> Result<(), String> {
        for part in &mut self.parts {
            part.say(&Ask::End)?;
        }
        let mut result = Ok(());
        for part in &mut self.parts {
            let ended = part.process.wait().map_err(|error| error.to_string());
            match ended {
                Ok(status) if status.success() => {}
                Ok(status) => result = Err(format!("part \"{}\" ended with {status}", part.name)),
                Err(error) => result = Err(format!("part \"{}\": {error}", part.name)),
            }
        }
        result
    }
}

/// What each part has done: rounds in which it did something, and packets that it took.
fn done(progress: &[Progress]) -> Vec<(u64, u64)> {
    let packets = |part: &Progress| part.taken.iter().map(|(_, count)| count).sum();
    progress.iter().map(|part| (part.worked, packets(part))).collect()
}

impl Part {
    fn progress(&mut self) -> Result<Progress, String> {
        match self.ask(&Ask::Progress)? {
            Answer::Progress(progress) => Ok(progress),
            _ => Err(self.talks_nonsense()),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        self.say(ask)?;
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err(self.is_gone()),
            Ok(_) => serde_json::from_str(&line).map_err(|_| self.talks_nonsense()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(format!("part \"{}\" has not answered for {PATIENCE:?}", self.name))
            }
            Err(_) => Err(self.is_gone()),
        }
    }

    fn say(&mut self, ask: &Ask) -> Result<(), String> {
        let line = serde_json::to_string(ask).map_err(|error| error.to_string())? + "\n";
        self.asks.write_all(line.as_bytes()).map_err(|_| self.is_gone())
    }

    /// It closed its end of the conversation: it is about to end, or stuck.
    fn is_gone(&mut self) -> String {
        let begin = Instant::now();
        while begin.elapsed() < DRAIN {
            if let Ok(Some(status)) = self.process.try_wait() {
                return format!("part \"{}\" ended too early ({status})", self.name);
            }
            std::thread::sleep(LOOK);
        }
        format!("part \"{}\" talks no more", self.name)
    }

    fn talks_nonsense(&self) -> String {
        format!("part \"{}\" gave an answer that is none", self.name)
    }
}

/// A fresh directory for sockets and the key, for this user only.
fn meeting_place() -> std::io::Result<MeetingPlace> {
    let mut random = [0; 48];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    let (name, key) = random.split_at(16);
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let dir: PathBuf = std::env::temp_dir().join(format!("anf-parts-{name}"));
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    let place = MeetingPlace(dir);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.key())?;
    file.write_all(key)?;
    Ok(place)
}

/// Waits for a part that was just started: it connects and says its name.
fn meet(process: &mut Child, name: &str, listener: &UnixListener) -> Result<BufReader<UnixStream>, String> {
    let begin = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                return Err(format!("part \"{name}\": {error}"));
            }
            Err(_) => {}
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("part \"{name}\" did not start ({status})"));
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("part \"{name}\" has not started for {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let failed = |error: std::io::Error| format!("part \"{name}\": {error}");
    stream.set_nonblocking(false).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut greeting = String::new();
    reader.read_line(&mut greeting).map_err(failed)?;
    if greeting.trim_end() == name {
        Ok(reader)
    } else {
        Err(format!("part \"{name}\" did not say its name"))
    }
}
