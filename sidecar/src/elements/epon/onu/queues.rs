//! The queues of an ONU, one a class of traffic, and who of them sends next.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use crate::element::{Packet, Time};
use crate::elements::epon::line::{occupied, quanta};
use crate::elements::epon::mpcp::{QUEUES, Report};
use crate::state::{Reader, StateError, Writer};

/// How far a class of weight one moves for an octet.
const UNIT: u64 = 1 << 16;

/// Frames of one class that wait to be sent.
#[derive(Debug, Default)]
struct Class {
    /// With the time that each came.
    frames: VecDeque<(Time, Packet)>,
    octets: usize,
    /// What the frames take on the line.
    taken: Duration,
    /// How far it has come, of the classes that share by weight.
    position: u64,
    delays: Delays,
}

/// How long frames waited, up to their last bit on the line.
#[derive(Debug, Default, Clone, Copy)]
struct Delays {
    count: u64,
    sum: Duration,
    longest: Duration,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Queues {
    classes: Vec<Class>,
    /// Octets that each class may hold.
    capacity: usize,
    /// By class, if they share by weight; else the first class that can send does.
    weights: Option<Vec<u64>>,
}

impl Queues {
    /// So many classes, the first one the most urgent.
    pub(super) fn new(classes: usize, capacity: usize, weights: Option<Vec<u64>>) -> Self {
        let classes = (0..classes).map(|_| Class::default()).collect();
        Self { classes, capacity, weights }
    }

    /// Queues a frame; gives it back if there is no room.
    pub(super) fn offer(&mut self, class: usize, frame: Packet, now: Time) -> Option<Packet> {
        let furthest = self.front_position();
        let Some(queue) = self.classes.get_mut(class) else { return Some(frame) };
        if queue.octets + frame.len() > self.capacity {
            return Some(frame);
        }
        if queue.frames.is_empty() {
            // A class that had nothing to send has saved nothing up.
            queue.position = queue.position.max(furthest);
        }
        queue.octets += frame.len();
        queue.taken += occupied(frame.len());
        queue.frames.push_back((now, frame));
        None
    }

    /// The least position of the classes that wait.
    fn front_position(&self) -> u64 {
        let waiting = self.classes.iter().filter(|class| !class.frames.is_empty());
        waiting.map(|class| class.position).min().unwrap_or(0)
    }

    /// Takes the next frame that takes at most `room` on the line, with its class and the time that it came.
    pub(super) fn take(&mut self, room: Duration) -> Option<(usize, Time, Packet)> {
        let fits =
            |class: &Class| class.frames.front().is_some_and(|(_, frame)| occupied(frame.len()) <= room);
        let able = self.classes.iter().enumerate().filter(|(_, class)| fits(class));
        let at = match &self.weights {
            None => able.map(|(at, _)| at).next()?,
            Some(_) => able.min_by_key(|(_, class)| class.position)?.0,
        };
        let class = self.classes.get_mut(at)?;
        let (came, frame) = class.frames.pop_front()?;
        class.octets -= frame.len();
        class.taken = class.taken.saturating_sub(occupied(frame.len()));
        if let Some(weight) = self.weights.as_ref().and_then(|weights| weights.get(at)) {
            class.position += frame.len() as u64 * UNIT / weight;
        }
        Some((at, came, frame))
    }

    /// A frame of the class that came at `came` has left.
    pub(super) fn sent(&mut self, class: usize, delay: Duration) {
        let Some(class) = self.classes.get_mut(class) else { return };
        class.delays.count += 1;
        class.delays.sum += delay;
        class.delays.longest = class.delays.longest.max(delay);
    }

    /// What waits, as a REPORT says it.
    pub(super) fn report(&self) -> Report {
        let mut queues = [None; QUEUES];
        for (queue, class) in queues.iter_mut().zip(&self.classes) {
            *queue = Some(u16::try_from(quanta(class.taken)).unwrap_or(u16::MAX));
        }
        Report { queues }
    }

    /// Class, frames and octets that wait, a line each.
    pub(super) fn show(&self) -> String {
        self.lines(|class| format!("{} {}", class.frames.len(), class.octets))
    }

    /// Class, frames sent, and how long they waited on average and at most, a line each.
    pub(super) fn show_delays(&self) -> String {
        self.lines(|class| {
            let Delays { count, sum, longest } = class.delays;
            let mean = sum.as_nanos().checked_div(count.into()).unwrap_or(0);
            format!("{count} {}us {}us", mean / 1000, longest.as_micros())
        })
    }

    fn lines(&self, of: impl Fn(&Class) -> String) -> String {
        self.classes.iter().enumerate().fold(String::new(), |mut text, (at, class)| {
            let _ = writeln!(text, "{at} {}", of(class));
            text
        })
    }

    pub(super) fn reset_delays(&mut self) {
        self.classes.iter_mut().for_each(|class| class.delays = Delays::default());
    }

    pub(super) fn save(&self, w: &mut Writer) {
        for class in &self.classes {
            w.put_u64(class.position);
            w.put_u64(class.delays.count);
            w.put_u64(class.delays.sum.as_nanos() as u64);
            w.put_u64(class.delays.longest.as_nanos() as u64);
            w.put_u32(class.frames.len() as u32);
            for (came, frame) in &class.frames {
                w.put_u64(came.0);
                frame.save(w);
            }
        }
    }

    pub(super) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        for class in &mut self.classes {
            *class = Class { position: r.get_u64()?, ..Class::default() };
            class.delays.count = r.get_u64()?;
            class.delays.sum = Duration::from_nanos(r.get_u64()?);
            class.delays.longest = Duration::from_nanos(r.get_u64()?);
            for _ in 0..r.get_u32()? {
                let (came, frame) = (Time(r.get_u64()?), Packet::restore(r)?);
                class.octets += frame.len();
                class.taken += occupied(frame.len());
                class.frames.push_back((came, frame));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMPLE: Duration = Duration::from_secs(1);

    fn filled(weights: Option<Vec<u64>>) -> Queues {
        let mut queues = Queues::new(3, 1 << 20, weights);
        for n in 0..100 {
            for class in 0..3 {
                assert!(queues.offer(class, Packet::zeroed(100), Time(n)).is_none());
            }
        }
        queues
    }

    fn sent(queues: &mut Queues, count: usize) -> [usize; 3] {
        let mut sent = [0; 3];
        for _ in 0..count {
            sent[queues.take(AMPLE).unwrap().0] += 1;
        }
        sent
    }

    #[test]
    fn urgent_classes_go_first() {
        let mut queues = filled(None);
        assert_eq!(sent(&mut queues, 150), [100, 50, 0]);
        queues.offer(0, Packet::zeroed(100), Time(0));
        assert_eq!(sent(&mut queues, 60), [1, 50, 9]);
    }

    #[test]
    fn weights_share_the_line_and_idle_classes_save_nothing_up() {
        let mut queues = filled(Some(vec![4, 2, 1]));
        assert_eq!(sent(&mut queues, 70), [40, 20, 10]);
        while queues.classes[0].frames.len() + queues.classes[1].frames.len() > 0 {
            queues.take(AMPLE);
        }
        for _ in 0..10 {
            queues.offer(0, Packet::zeroed(100), Time(0));
        }
        // Four to one from now on: the class that was away does not catch up.
        assert_eq!(sent(&mut queues, 5)[2], 1);
    }

    #[test]
    fn what_does_not_fit_the_room_lets_others_pass() {
        let mut queues = Queues::new(2, 4000, None);
        queues.offer(0, Packet::zeroed(1500), Time(0));
        queues.offer(1, Packet::zeroed(60), Time(0));
        assert_eq!(queues.take(occupied(60)).map(|(class, ..)| class), Some(1));
        assert!(queues.take(occupied(60)).is_none());
        assert_eq!(queues.take(occupied(1500)).map(|(class, ..)| class), Some(0));
    }

    #[test]
    fn a_class_holds_its_octets_and_reports_what_they_take_on_the_line() {
        let mut queues = Queues::new(2, 150, None);
        assert!(queues.offer(0, Packet::zeroed(100), Time(0)).is_none());
        assert!(queues.offer(0, Packet::zeroed(51), Time(0)).is_some());
        assert!(queues.offer(0, Packet::zeroed(50), Time(0)).is_none());
        // (100 + 24) octets and (60 + 24) of the padded one; two octets are a quantum.
        assert_eq!(queues.report().queues[..3], [Some(104), Some(0), None]);
        assert_eq!(queues.show(), "0 2 150\n1 0 0\n");
        let mut full = Queues::new(1, 1 << 20, None);
        (0..100).for_each(|_| drop(full.offer(0, Packet::zeroed(1514), Time(0))));
        assert_eq!(full.report().queues[0], Some(u16::MAX));
    }
}
