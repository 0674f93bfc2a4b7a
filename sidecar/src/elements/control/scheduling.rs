//! ScheduleInfo and StaticThreadSched: how Click shares a machine between tasks. Here every task has an equal share, and
//! one thread runs a router: both are read and checked, so that texts that have them run, and change nothing.

use crate::config::{Value, split_words};
use crate::element::{Arg, Args, ConfigError, Descriptor, Element};

pub(super) static SCHEDULE_INFO: Descriptor = Descriptor {
    class: "ScheduleInfo",
    summary: "specifies the task scheduling parameters of elements; they have no effect here",
    ports: "0/0",
    args: &[Arg::rest("INFO", "ELEMENT PARAMETER", "an element, and its share of the time")],
    details: "In click, an element whose parameter is twice as large has its task run twice as often, if click was built \
              with its stride scheduler. Here every task runs once in a pass of the driver. Sources and Unqueue have a \
              BURST, and StrideSched shares packets by weights.",
    example: r#"
        ScheduleInfo(fast 2, slow 0.5);
        fast :: InfiniteSource(DATA fast, LIMIT 3) -> Print -> Discard;
        slow :: InfiniteSource(DATA slow, LIMIT 3, STOP true) -> Print -> Discard;
    "#,
    build: |args| check(args, "expected 'ELEMENTNAME PARAM'", |share| share >= 0.0),
    ..Descriptor::BASE
};

pub(super) static STATIC_THREAD_SCHED: Descriptor = Descriptor {
    class: "StaticThreadSched",
    summary: "specifies the threads of elements; it has no effect here",
    ports: "0/0",
    args: &[Arg::rest(
        "ELEMENT",
        "ELEMENT THREAD",
        "an element, and the number of the thread that runs its task",
    )],
    details: "In click, tasks are assigned to threads. Here one thread runs a router: to use several cores, cut the graph \
              into parts.",
    example: r#"
        StaticThreadSched(a 0, b 1);
        a :: InfiniteSource(DATA a, LIMIT 2) -> Print -> Discard;
        b :: InfiniteSource(DATA b, LIMIT 2, STOP true) -> Print -> Discard;
    "#,
    build: |args| check(args, "expected 'ELEMENT THREAD'", |thread| thread >= -1.0 && thread.fract() == 0.0),
    ..Descriptor::BASE
};

struct NoEffect;

impl Element for NoEffect {}

/// Every argument is a name and a number of the right kind.
fn check(
    args: &Args<'_>,
    expected: &str,
    is_right: impl Fn(f64) -> bool,
) -> Result<Box<dyn Element>, ConfigError> {
    let right = |argument: &String| match &split_words(argument)[..] {
        [] => true,
        [_, number] => f64::parse_plain(number).is_ok_and(&is_right),
        _ => false,
    };
    let wrong = args.rest().iter().filter(|argument| !right(argument));
    let problems: Vec<String> = wrong.map(|argument| format!("{expected}, got '{argument}'")).collect();
    if problems.is_empty() { Ok(Box::new(NoEffect)) } else { Err(ConfigError(problems)) }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn texts_with_them_run_and_what_is_wrong_in_them_is_told() {
        let text =
            "in :: TestIn -> out :: TestOut; ScheduleInfo(in 0.5, , out 2); StaticThreadSched(in 0, out -1);";
        let mut bench = Bench::new(text);
        bench.push("in", b"a");
        assert_eq!(bench.take("out"), [b"a"]);
        let told = Bench::error("Idle -> Discard; ScheduleInfo(a, b -1, c 1 2, d x);");
        for wrong in ["a", "b -1", "c 1 2", "d x"] {
            assert!(told.contains(&format!("expected 'ELEMENTNAME PARAM', got '{wrong}'")), "{told}");
        }
        let told = Bench::error("Idle -> Discard; StaticThreadSched(a 0.5, b -2);");
        assert!(told.contains("got 'a 0.5'") && told.contains("got 'b -2'"), "{told}");
    }
}
