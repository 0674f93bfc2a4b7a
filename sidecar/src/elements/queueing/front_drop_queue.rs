//! FrontDropQueue: a queue that, when it is full, drops the packet that is in longest for the one that comes in.

use super::queue::{COMMON, Notice, Victim, build};
use crate::element::Descriptor;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "FrontDropQueue",
    summary: "stores packets in drop-from-front FIFO queue",
    details: "As NotifierQueue, but when it is full the packet that waits longest makes room for the one that \
              comes, also when `capacity` is made smaller.",
    example: r#"
        TimedSource(10ms, DATA A, LIMIT 3) -> q :: FrontDropQueue(4);
        TimedSource(10ms, DATA B, LIMIT 3) -> q;
        q[1] -> Print(lost, CONTENTS ASCII) -> Discard;
        q -> u :: Unqueue(ACTIVE false) -> Print(passed, CONTENTS ASCII) -> Discard;
        DriverManager(wait 50ms,
            print "$(q.length) wait, $(q.drops) lost",
            write q.capacity 3,
            write u.active true, wait 1ms,
            print "$(u.count) passed");
    "#,
    build: |args| build(args, Notice::Pullers, Victim::Oldest),
    ..COMMON
};

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const TEXT: &str = "in :: TestIn -> q :: FrontDropQueue(2) -> out :: TestPuller;";

    fn filled() -> Bench {
        let mut bench = Bench::new(TEXT);
        for n in 1..=3 {
            bench.push("in", &[n]);
        }
        bench
    }

    fn pulled(bench: &mut Bench) -> Vec<u8> {
        bench.pull("out", 9).iter().map(|p| p.data()[0]).collect()
    }

    #[test]
    fn the_oldest_packet_makes_room() {
        let mut bench = filled();
        assert_eq!((bench.read("q", "drops"), bench.drops("q", "queue full")), ("1".into(), 1));
        assert_eq!(pulled(&mut bench), [2, 3]);
    }

    #[test]
    fn a_smaller_capacity_keeps_the_newest() {
        let mut bench = filled();
        bench.router.write_handler("q", "capacity", "1").unwrap();
        assert_eq!(pulled(&mut bench), [3]);
    }

    #[test]
    fn it_moves_with_its_packets() {
        let mut moved = Bench::new(TEXT);
        filled().move_to(&mut moved);
        assert_eq!(moved.read("q", "drops"), "1");
        assert_eq!(pulled(&mut moved), [2, 3]);
    }

    #[test]
    fn a_capacity_that_is_no_number_is_refused() {
        let error = Bench::error("Idle -> FrontDropQueue(big) -> Discard;");
        assert!(error.contains("CAPACITY: expected unsigned integer, got 'big'"), "{error}");
    }
}
