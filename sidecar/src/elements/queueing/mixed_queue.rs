//! MixedQueue: a queue whose input 0 appends and whose input 1 puts packets at the head.

use super::queue::{COMMON, Notice, Victim, build};
use crate::element::Descriptor;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "MixedQueue",
    summary: "stores packets in a FIFO/LIFO queue",
    ports: "2/1-2",
    keeps_order: false,
    details: "As NotifierQueue for input 0. A packet by input 1 is put at the head; when the queue is full, it \
              takes the room of the one at the end.",
    example: r#"
        TimedSource(10ms, DATA first, LIMIT 3) -> q :: MixedQueue(4);
        TimedSource(10ms, DATA urgent, LIMIT 3) -> [1] q;
        q[1] -> Print(lost, CONTENTS ASCII) -> Discard;
        q -> u :: Unqueue(ACTIVE false) -> Print(passed, CONTENTS ASCII) -> Discard;
        DriverManager(wait 50ms,
            print "$(q.length) wait, $(q.drops) lost",
            write u.active true, wait 1ms,
            print "$(u.count) passed");
    "#,
    build: |args| build(args, Notice::Pullers, Victim::Newest),
    ..COMMON
};

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    fn bench(capacity: u32) -> Bench {
        Bench::new(&format!(
            "fifo :: TestIn -> q :: MixedQueue({capacity}) -> out :: TestPuller; lifo :: TestIn -> [1]q;"
        ))
    }

    fn push(bench: &mut Bench, packets: &[(&str, u8)]) {
        for (input, letter) in packets {
            bench.push(input, &[*letter]);
        }
    }

    fn pulled(bench: &mut Bench) -> Vec<u8> {
        bench.pull("out", 9).iter().map(|p| p.data()[0]).collect()
    }

    #[test]
    fn the_second_input_puts_packets_at_the_head() {
        let mut bench = bench(10);
        push(&mut bench, &[("fifo", b'A'), ("fifo", b'B'), ("lifo", b'C'), ("fifo", b'D'), ("lifo", b'E')]);
        assert_eq!(pulled(&mut bench), b"ECABD");
    }

    #[test]
    fn a_full_queue_refuses_at_its_end_and_makes_room_for_its_head() {
        let mut bench = bench(2);
        push(&mut bench, &[("fifo", b'A'), ("fifo", b'B'), ("fifo", b'C'), ("lifo", b'D')]);
        assert_eq!((bench.read("q", "drops"), bench.drops("q", "queue full")), ("2".into(), 2));
        assert_eq!(pulled(&mut bench), b"DA");
    }

    #[test]
    fn it_moves_with_its_packets() {
        let (mut from, mut to) = (bench(2), bench(2));
        push(&mut from, &[("fifo", b'A'), ("lifo", b'B')]);
        from.move_to(&mut to);
        assert_eq!(pulled(&mut to), b"BA");
    }

    #[test]
    fn without_any_room_all_is_dropped() {
        let mut bench = bench(0);
        push(&mut bench, &[("fifo", b'A'), ("lifo", b'B')]);
        assert_eq!((bench.read("q", "drops"), pulled(&mut bench)), ("2".into(), vec![]));
        let error = Bench::error("Idle -> q :: MixedQueue(x) -> Discard; Idle -> [1]q;");
        assert!(error.contains("CAPACITY: expected unsigned integer, got 'x'"), "{error}");
    }
}
