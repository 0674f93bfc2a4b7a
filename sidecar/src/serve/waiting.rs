//! How the packet thread waits: for descriptors and deadlines by the system, for rings in memory by looking at them.
//!
//! Before it sleeps it raises its flag in every ring and looks once more, so that a peer that writes meanwhile either is
//! seen or sees the flag and rings the doorbell.

use std::io;

use rustix::event::{Timespec, epoll};

use crate::handover::engine::Engine;
use crate::handover::node::{ConnId, Node};
use crate::link::connection::Takes;

use super::event_loop::EventLoop;

/// Shortest time until a deadline, so that a deadline in the past cannot make the thread spin.
const SHORTEST_WAIT: u64 = 100_000;
const LONGEST_WAIT: u64 = 250_000_000;

impl EventLoop {
    /// Waits until there is something to do; `events` gets what descriptors are ready.
    pub(super) fn wait(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        let patience = self.patience();
        if patience == 0 {
            return self.ask_system(events, 0);
        }
        if self.look(events)? {
            return Ok(());
        }
        if !self.fall_asleep() {
            self.wake_up();
            return self.ask_system(events, 0);
        }
        let since = self.clock.now();
        self.ask_system(events, patience)?;
        if !events.is_empty() {
            self.spin.slept(self.clock.now() - since);
        }
        self.wake_up();
        Ok(())
    }

    /// Nanoseconds until there is something to do even if nothing comes.
    fn patience(&self) -> u64 {
        let now = self.clock.now();
        let deadline = self.node.deadline(&self.engine).min(self.stop_at.unwrap_or(u64::MAX));
        let busy = self.engine.is_serving() && self.engine.next_timer() <= now && !self.node.must_wait();
        let shortest = if busy { 0 } else { SHORTEST_WAIT };
        deadline.saturating_sub(now).clamp(shortest, LONGEST_WAIT)
    }

    fn ask_system(&self, events: &mut Vec<epoll::Event>, nanos: u64) -> io::Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: nanos as i64 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Looks for something to do for a while, before it pays to sleep; `true`: there is something.
    fn look(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<bool> {
        if self.spin.nanos() == 0 {
            return Ok(false);
        }
        let until = self.clock.now() + self.spin.nanos();
        while self.clock.now() < until {
            self.ask_system(events, 0)?;
            if !events.is_empty() || self.a_ring_is_readable() {
                return Ok(true);
            }
        }
        self.spin.was_in_vain();
        Ok(false)
    }

    // ---- rings ----------------------------------------------------------------------------------------------

    /// Takes what came by rings.
    pub(super) fn poll_rings(&mut self) {
        let mut conns = std::mem::take(&mut self.polled);
        conns.extend(
            self.links.iter().filter(|(_, link)| link.connection.can_have_ring()).map(|(conn, _)| *conn),
        );
        for conn in conns.drain(..) {
            if takes(&self.node, self.waiting, conn) == Takes::Nothing {
                continue;
            }
            let Some(link) = self.links.get_mut(&conn) else { continue };
            match link.connection.poll_ring() {
                Ok(0) => {}
                Ok(_) => self.read_link(conn),
                Err(error) => self.lose(conn, &error),
            }
        }
        self.polled = conns;
    }

    fn a_ring_is_readable(&mut self) -> bool {
        let (node, waiting) = (&self.node, self.waiting);
        let mut links = self.links.iter_mut();
        links.any(|(conn, link)| {
            takes(node, waiting, *conn) == Takes::Frames && link.connection.ring_is_readable()
        })
    }

    /// Tells the peers at the other ends of rings that this end sleeps; `false`: there is something to do after all.
    /// What is wrong with a ring is found by whoever reads or writes next.
    fn fall_asleep(&mut self) -> bool {
        let (node, waiting) = (&self.node, self.waiting);
        let mut links = self.links.iter_mut();
        links
            .all(|(conn, link)| link.connection.sleep(takes(node, waiting, *conn)).is_ok_and(|sleeps| sleeps))
    }

    fn wake_up(&mut self) {
        self.links.values_mut().for_each(|link| link.connection.wake());
    }
}

/// What may come by a connection now: while a peer does not keep up, packets of other links have to wait.
fn takes(node: &Node, waiting: bool, conn: ConnId) -> Takes {
    if waiting && node.takes_packets(conn) { Takes::Nothing } else { Takes::Frames }
}
