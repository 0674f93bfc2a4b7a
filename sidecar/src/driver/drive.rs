//! The loops of a router that runs alone: virtual time, and real time with devices and control sockets.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::ControlServer;
use super::signals::Signals;
use crate::engine::{DeviceId, Router, Time};

/// Passes between two looks at clock and devices while there is work: a clock reading costs as much as a packet.
const PASSES: u32 = 16;

/// Signals that ask the router to stop.
const STOPPING: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

/// Runs a router in virtual time, which never waits, until it stops or another text is to replace it.
pub(super) fn run_simulated(router: &mut Router, now: &mut Time) {
    while let Some(next) = router.run(*now).next_time(*now)
        && !router.has_next_text()
    {
        *now = next;
    }
}

/// Watches for what stops the router, and for what its scripts ask for.
pub(super) fn watch_signals(router: &Router) -> Result<Signals, String> {
    let mut numbers = STOPPING.to_vec();
    numbers.extend(router.signals());
    Signals::watch(&numbers).map_err(|error| format!("signals: {error}"))
}

/// Gives signals to the scripts that wait for them. Else the first SIGINT or SIGTERM asks the router to stop, and any
/// other signal ends the process, as in click(1).
fn deliver(router: &mut Router, signals: &mut Signals, asked: &mut Vec<i32>) {
    for signal in signals.take() {
        if router.signal(signal, Time::system()) {
            continue;
        }
        if !STOPPING.contains(&signal) || asked.contains(&signal) {
            std::process::exit(128 + signal);
        }
        asked.push(signal);
        router.request_stop();
    }
}

/// Runs a router until it stops or another text is to replace it.
pub(super) fn run_real(router: &mut Router, control: &mut ControlServer, signals: &mut Signals) {
    let mut asked = Vec::new();
    loop {
        let now = Time::system();
        let mut pass = router.run(now);
        let mut passes = 1;
        while !pass.stop && pass.ready && pass.worked && passes < PASSES {
            pass = router.run(now);
            passes += 1;
        }
        if pass.stop || router.has_next_text() {
            return;
        }
        let wait = if pass.ready {
            Some(Duration::ZERO)
        } else {
            pass.next_timer.map(|at| at.since(Time::system()))
        };
        wait_for_sockets(router, control, signals, wait);
        if signals.arrived() {
            deliver(router, signals, &mut asked);
        }
    }
}

/// Waits until a device or a control socket is ready, a signal comes or `wait` is over; for ever if that is `None`.
fn wait_for_sockets(
    router: &mut Router,
    control: &mut ControlServer,
    signals: &Signals,
    wait: Option<Duration>,
) {
    let mut ids: Vec<DeviceId> = Vec::new();
    let mut always = false;
    let mut ready = Vec::new();
    let mut asked = false;
    {
        let mut fds = Vec::new();
        for device in router.devices() {
            let Some(fd) = device.device.fd() else {
                always |= device.wants_read;
                continue;
            };
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, device.wants_read);
            flags.set(PollFlags::OUT, device.wants_write);
            ids.push(device.id);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
        fds.extend(control.wanted().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        if fds.is_empty() && wait == Some(Duration::ZERO) {
            return;
        }
        fds.push(PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN));
        let wait = if always { Some(Duration::from_micros(100)) } else { wait };
        let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
        // An interrupted wait is a short wait.
        if poll(&mut fds, timeout.as_ref()).is_ok() {
            let (devices, sockets) = fds.split_at(ids.len());
            let sockets = sockets.split_last().map_or(sockets, |(_, sockets)| sockets);
            asked = sockets.iter().any(|fd| !fd.revents().is_empty());
            for (id, fd) in ids.iter().zip(devices) {
                let got = fd.revents();
                let broken = got.intersects(PollFlags::ERR | PollFlags::HUP);
                ready.push((
                    *id,
                    got.contains(PollFlags::IN) || broken,
                    got.contains(PollFlags::OUT) || broken,
                ));
            }
        }
    }
    for (id, readable, writable) in ready {
        if readable || writable {
            router.device_ready(id, readable, writable);
        }
    }
    if asked {
        control.serve(router);
    }
}
