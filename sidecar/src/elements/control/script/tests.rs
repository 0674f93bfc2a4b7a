//! Scripts run in routers.

use std::time::Duration;

use crate::element::HandlerError;
use crate::engine::{Console, Env, Router, Time};
use crate::testing::{Bench, build};

/// A router whose printed lines are kept.
struct Stage {
    router: Router,
    console: Console,
    now: Time,
}

impl Stage {
    fn new(text: &str) -> Self {
        let console = Console::kept();
        let now = Time(1_000_000_000);
        let mut env = Env { simulated: true, console: console.clone(), now, ..Env::default() };
        Self { router: build(text, &mut env).unwrap(), console, now }
    }

    /// What is printed until the end of the run.
    fn run(&mut self) -> String {
        for _ in 0..1000 {
            match self.router.run(self.now).next_time(self.now) {
                Some(next) => self.now = next,
                None => break,
            }
        }
        self.printed()
    }

    fn printed(&self) -> String {
        String::from_utf8(self.console.take()).unwrap()
    }

    fn write(&mut self, element: &str, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.router.write_handler(element, handler, value)
    }

    fn read(&mut self, element: &str, handler: &str, param: &str) -> String {
        let value = self.router.read_handler_with(element, handler, param);
        value.unwrap_or_else(|error| format!("! {error}"))
    }
}

/// What a script prints.
fn script(instructions: &str) -> String {
    Stage::new(&format!("s :: Script({instructions}); c :: Counter; Idle -> c -> Discard;")).run()
}

#[test]
fn a_script_loops_with_variables_and_handlers() {
    let printed = script("set x 0, label again, print $x, set x $(add $x 1), goto again $(lt $x 5), stop");
    assert_eq!(printed, "0\n1\n2\n3\n4\n");
    assert_eq!(script("set x 3, print $(s.add $x 1) , print $(x)"), "4\n3\n");
}

#[test]
fn text_is_printed_without_its_quotes_and_names_are_read() {
    let cases = [
        ("print c.count", "0\n"),
        ("print \"c.count\"", "c.count\n"),
        ("print '\"c.count\"'", "\"c.count\"\n"),
        ("set x c.count, print $x, print $($x)", "c.count\n0\n"),
        ("set x \"$(c.count)\", print $x", "\"0\"\n"),
        ("setq x \"$(c.count)\", print $x", "0\n"),
        ("printn \"a\", printn 1, print", "a1\n"),
        ("print $y, set y 1", "\n"),
        ("print $unknown", "$unknown\n"),
        ("print \"a\\n\"", "a\n"),
        ("print add 1 2, printq unquote \"'x'\", print unquote 'x'", "3\nx\nx\n"),
        ("read c.count, readq length \"ab\"", "c.count:\n0\n\ns.length:\n2\n\n"),
        ("print > - c.count, print >>- \"x\"", "0\nx\n"),
        ("print $(name) $(class)", "s Script\n"),
    ];
    for (instructions, wanted) in cases {
        assert_eq!(script(instructions), wanted, "{instructions}");
    }
}

#[test]
fn what_goes_wrong_is_said_where_it_does_and_the_script_goes_on() {
    let while_executing = "While executing 's :: Script':\n";
    let cases = [
        ("print no.count", "  no element named 'no'\n"),
        ("print c.no", "  no 'c.no' read handler\n"),
        ("write c.count 1", "  no 'c.count' write handler\n"),
        ("write nothing", "  no 'nothing' write handler\n"),
        ("print mod 1 x", "  While calling 's.mod 1 x':\n    expected two numbers\n"),
        (
            "write c.count_call x, write c.count_call",
            "  While calling 'c.count_call x':\n    'count_call' first word should be unsigned (count)\n  While calling 'c.count_call':\n    \
             'count_call' first word should be unsigned (count)\n",
        ),
        ("wait many", "  syntax error at 'wait'\n"),
        ("goto end maybe", "  bad condition 'maybe'\n"),
        ("error out of order", "  out of order\n"),
        ("errorq \"a b\", print 1", "  a b\n"),
        ("print > /no/file 1", "  /no/file: No such file or directory\n"),
    ];
    for (instructions, wanted) in cases {
        // `print` prints what it has, without the end of its line.
        let printed = script(instructions);
        assert_eq!(
            printed.trim_end_matches('\n'),
            format!("{while_executing}{wanted}").trim_end(),
            "{instructions}"
        );
    }
    assert_eq!(
        script("print x$(no.x)y, print 2"),
        "While executing 's :: Script':\n  no element named 'no'\n  no element named 'x$(no'\n2\n"
    );
    assert_eq!(
        script("print \"x$(no.x)y\", print 2"),
        "While executing 's :: Script':\n  no element named 'no'\nx$(no.x)y2\n"
    );
}

#[test]
fn a_loop_that_never_waits_is_given_up() {
    let mut stage = Stage::new("s :: Script(set n 0, label l, set n $(add $n 1), goto l);");
    assert_eq!(stage.run(), "s :: Script: too many jumps, giving up\n");
    assert_eq!(stage.read("s", "get", "n"), "1000");
    assert_eq!(stage.read("s", "status", ""), "given up");
    let text = "DriverManager(loop);";
    assert!(Stage::new(text).run().ends_with("too many jumps, giving up\n"));
}

#[test]
fn values_do_not_grow_without_bound() {
    let printed = script("set x 0123456789, label l, set x $x$x, goto l");
    assert!(printed.contains("  value of 'x' is longer than 65536 bytes\n"), "{printed}");
}

#[test]
fn a_write_leaves_its_status() {
    let text =
        "writeq c.count_call \"1 s.step\", print $?, write c.count_call x, print $?, write no.x, print $?";
    let printed = script(text);
    assert!(printed.starts_with("0\nWhile"), "{printed}");
    assert!(printed.ends_with("-22\n  no element named 'no'\n-22\n"), "{printed}");
}

#[test]
fn waiting_ends_with_time_or_a_step() {
    let mut stage = Stage::new(
        "s :: Script(wait 1s, print \"a $(now)\", pause 2, print \"b\", wait 5, print \"c $(now)\", wait 5, print now);
         Script(wait 2, write s.step, print s.status, write s.step 2, wait 1.5, write s.goto begin);",
    );
    assert_eq!(stage.read("s", "status", ""), "not started");
    let printed = "a 2.000000\nwaiting for 1 steps, instruction 3\nb\nc 3.000000\n\
                   a 5.500000\n";
    assert_eq!(stage.run(), printed);
    stage.write("s", "step", "3").unwrap();
    assert_eq!(stage.printed() + &stage.run(), "b\nc 5.500000\n10.500000\n");
}

#[test]
fn a_passive_script_returns_a_value() {
    let mut stage = Stage::new(
        "s :: Script(TYPE PASSIVE, goto none $(eq $# 0), returnq \"$1 of $#: $args, $0 $write\", label none, return);
         t :: Script(TYPE PASSIVE, print $(s.run a b), error no, print never);",
    );
    assert_eq!(stage.run(), "");
    assert_eq!(stage.read("s", "run", "x 'y z'"), "x of 2: x 'y z', run false");
    assert_eq!(stage.read("s", "run", ""), "");
    assert_eq!(stage.write("t", "run", ""), Err(HandlerError::Refused("no".into())));
    assert_eq!(stage.printed(), "a of 2: a b, run false\n");
}

#[test]
fn variables_are_read_set_shifted_and_exported() {
    let mut stage =
        Stage::new("s :: Script(TYPE PASSIVE, init a 1, initq b \"2 $a\", export c 3 4, set d 5);");
    assert_eq!(stage.read("s", "vars", ""), "a\t1\nb\t2 1\nc\t3 4\nd\t\n");
    assert_eq!((stage.read("s", "get", "b"), stage.read("s", "c", "")), ("2 1".into(), "3 4".into()));
    assert_eq!((stage.read("s", "shift", "c"), stage.read("s", "c", "")), ("3".into(), "4".into()));
    stage.write("s", "set", "e  x y ").unwrap();
    assert_eq!(stage.read("s", "get", "e"), "x y ");
    assert_eq!(stage.read("s", "get", "f"), "! undefined variable 'f'");
    assert_eq!(stage.read("s", "get", ""), "! no variable");
    assert_eq!(stage.read("s", "get", "a b"), "! too many arguments");
    assert_eq!(stage.read("s", "a", ""), "! no handler named 's.a'");
    assert!(stage.router.handler_access("s", "c").is_ok_and(|access| access.readable && !access.writable));
    assert!(stage.router.handler_access("s", "a").is_err());
    assert!(stage.read("s", "handlers", "").contains("\nc\tr\n"));
    // `init` is done once.
    assert_eq!(stage.read("s", "run", "") + &stage.read("s", "c", ""), "4");
}

#[test]
fn a_proxy_answers_any_handler() {
    let mut stage = Stage::new(
        "p :: Script(TYPE PROXY, goto nota $(ne $0 a), returnq \"you called 'a'\", label nota,
                     goto bad $(not $write), print \"$0 := $args\", end, label bad, error bad handler);
         Script(print p.a, write p.b 5, print p.c);",
    );
    let wrong = "While executing 'Script@2 :: Script':\n  While calling 'p.c':\n    bad handler\n";
    assert_eq!(stage.run(), format!("you called 'a'\nb := 5\n{wrong}"));
    assert!(stage.router.handler_access("p", "x").is_ok_and(|access| access.writable));
    assert!(stage.router.handler_access("p", "add").is_ok_and(|access| !access.writable));
}

#[test]
fn a_packet_script_says_where_packets_go() {
    let text = "s :: Script(set n $(add $n 1), goto odd $(eq $(mod $n 2) 1), exit $(none), label odd, return $input);";
    assert!(Bench::error(text).contains("syntax error at 'exit'"));
    let mut bench = Bench::new(
        "a :: TestIn -> s :: Script(set n $(sprintf %d 0$n), set n $(add $n 1), goto odd $(eq $(mod $n 2) 1), exit,
                                    label odd, goto end $(eq $n 3), return $input);
         b :: TestIn -> [1]s; s -> x :: TestOut; s[1] -> y :: TestOut;",
    );
    for n in 0..4 {
        bench.push("b", &[n]);
    }
    bench.push("a", &[4]);
    assert_eq!((bench.take("y"), bench.take("x")), (vec![vec![0]], vec![vec![2], vec![4]]));
    assert_eq!(bench.drops("s", "not sent on"), 2);
}

#[test]
fn a_packet_script_can_be_pulled() {
    let mut bench = Bench::new(
        "in :: TestIn -> Queue -> s :: Script(TYPE PACKET, set n $(add 0$n 1), return $(mod $n 2)) -> out :: TestPuller;
         s[1] -> other :: TestOut;",
    );
    for n in 0..4 {
        bench.push("in", &[n]);
    }
    let pulled: Vec<_> = bench.pull("out", 9).iter().map(|packet| packet.data().to_vec()).collect();
    assert_eq!((pulled, bench.take("other")), (vec![vec![1], vec![3]], vec![vec![0], vec![2]]));
}

#[test]
fn a_driver_answers_requests_to_stop() {
    let mut stage = Stage::new(
        "src :: InfiniteSource(LIMIT 2, STOP true) -> c :: Counter -> Discard;
         DriverManager(print \"first\", wait_stop, print c.count, wait 0.5s, print now, write src.reset, wait_stop,
                       print c.count, stop, print never);",
    );
    assert_eq!(stage.run(), "first\n2\n1.500000002\n4\n");
    // Two requests at once are two steps.
    let mut stage = Stage::new(
        "DriverManager(wait_stop 2, print \"two\", wait_stop, print \"three\"); Script(write stop 3);",
    );
    assert_eq!(stage.run(), "two\nthree\n");
    // A request ends waiting for time.
    let mut stage = Stage::new("DriverManager(wait 9s, print now); Script(wait 1, stop);");
    assert_eq!(stage.run(), "2.000000\n");
}

#[test]
fn a_driver_ends_the_run_however_it_ends() {
    for ending in
        ["", ", stop", ", end", ", exit", ", goto exit", ", return", ", error", ", goto stop $(eq 1 1)"]
    {
        let mut stage =
            Stage::new(&format!("DriverManager(wait 1s{ending}); Script(wait 2, print \"on\", stop);"));
        let on = if ["", ", stop", ", goto stop $(eq 1 1)"].contains(&ending) { "" } else { "on\n" };
        assert_eq!(stage.run(), on, "{ending}");
        assert!(stage.router.run(stage.now).stop, "{ending}");
    }
    let mut stage = Stage::new("DriverManager(write stop);");
    stage.run();
    assert!(stage.router.run(stage.now).stop);
}

#[test]
fn scripts_call_each_other_but_not_in_a_circle() {
    let mut stage = Stage::new(
        "a :: Script(print b.run, pause, print \"stepped\");
         b :: Script(TYPE PASSIVE, write a.step, return $(a.get x));",
    );
    let printed = stage.run();
    assert!(printed.contains("element 'a' is busy"), "{printed}");
    assert!(printed.ends_with("stepped\n"), "{printed}");
}

#[test]
fn a_counter_runs_a_passive_script_at_its_count() {
    let mut bench = Bench::new(
        "s :: Script(TYPE PASSIVE, export seen 0, set seen $(c.count));
         in :: TestIn -> c :: Counter(COUNT_CALL 3 s.run) -> out :: TestOut;",
    );
    for n in 0..5 {
        bench.push("in", &[n]);
    }
    assert_eq!(bench.read("s", "seen"), "3");
    assert_eq!(bench.take("out").len(), 5);
}

#[test]
fn a_signal_runs_its_script_which_is_armed_again_at_its_end() {
    let mut stage =
        Stage::new("s :: Script(TYPE SIGNAL USR1 TERM, print $(add 1 1), wait 1s, print \"end\");");
    assert_eq!(stage.router.signals().collect::<Vec<_>>(), [libc::SIGUSR1, libc::SIGTERM]);
    assert!(!stage.router.signal(libc::SIGHUP, stage.now));
    assert!(stage.router.signal(libc::SIGTERM, stage.now));
    assert!(!stage.router.signal(libc::SIGTERM, stage.now), "it waits");
    assert_eq!(stage.run(), "2\nend\n");
    assert!(stage.router.signal(libc::SIGUSR1, stage.now));
}

#[test]
fn handlers_can_be_asked_for() {
    let cases = [
        ("print readable c.count add s.run", "true\n"),
        ("print readable c.count c.reset", "false\n"),
        ("print writable c.reset", "true\n"),
        ("print readable no.x", "false\n"),
        ("print readable", "true\n"),
        ("print writable stop", "true\n"),
    ];
    for (instructions, wanted) in cases {
        assert_eq!(script(instructions), wanted, "{instructions}");
    }
}

#[test]
fn files_are_written_and_read() {
    let folder = std::env::temp_dir().join(format!("script-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("out").display().to_string();
    let text = format!(
        "print >{file} \"one\", append c.count {file}, print >>{file} \"a$\", print cat {file}, print catq {file},
         save c.count {file}, print cat {file}, print cat, print kill NO 1, print kill TERM 0"
    );
    let printed = script(&text);
    assert!(printed.starts_with("one\n0\na$\n\"one\\n0\\na\\$\\n\"\n0\nWhile executing"), "{printed}");
    assert!(printed.contains("  While calling 's.cat':\n    bad FILE\n"), "{printed}");
    assert!(printed.contains("bad SIGNO") && printed.contains("bad PID"), "{printed}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn wrong_scripts_are_refused() {
    let cases = [
        ("Script(sing a song)", "syntax error at 'sing'"),
        ("Script(goto nowhere)", "no such label 'nowhere'"),
        ("Script(label)", "syntax error at 'label'"),
        ("Script(label a b)", "syntax error at 'label'"),
        ("Script(set x)", "syntax error at 'set'"),
        ("Script(init)", "syntax error at 'init'"),
        ("Script(pause some)", "syntax error at 'pause'"),
        ("Script(stop now)", "syntax error at 'stop'"),
        ("Script(TYPE SLEEPY)", "bad TYPE"),
        ("Script(TYPE SIGNAL)", "bad signal number"),
        ("Script(TYPE SIGNAL INT NO)", "bad signal number"),
        ("Script(TYPE PACKET)", "PACKET script must have inputs"),
        ("Idle -> Script(TYPE ACTIVE) -> Discard", "ports allowed only on PACKET scripts"),
        ("DriverManager(); Script(TYPE DRIVER)", "router has more than one driver script"),
    ];
    for (text, wanted) in cases {
        let error = Bench::error(&format!("{text};"));
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn wrong_orders_are_refused() {
    let mut stage = Stage::new("s :: Script(TYPE PASSIVE, pause, print 1);");
    let refused = |text: &str| Err(HandlerError::Refused(text.into()));
    assert_eq!(stage.write("s", "goto", "nowhere"), refused("jump to nonexistent label"));
    assert_eq!(stage.write("s", "goto", "end"), refused("jump to nonexistent label"));
    assert_eq!(stage.write("s", "step", "some"), refused("syntax error"));
    assert_eq!(stage.write("s", "add", "1"), Err(HandlerError::NoHandler("s.add".into())));
    assert_eq!(stage.read("s", "step", ""), "! no handler named 's.step'");
    assert_eq!(stage.write("s", "goto", "begin"), Ok(()));
    assert_eq!(
        (stage.read("s", "status", ""), stage.printed()),
        ("waiting for 1 steps, instruction 1".into(), "".into())
    );
    assert_eq!(stage.write("s", "step", ""), Ok(()));
    assert_eq!(stage.printed(), "1\n");
}

#[test]
fn a_script_moves_with_all_that_it_knows() {
    let text = "s :: Script(TYPE PASSIVE, set x $args, pause 3, print $x$args$0$?); c :: Counter; Idle -> c -> Discard;";
    let (mut old, mut new) = (Bench::new(text), Bench::new(text));
    old.router.write_handler("s", "run", "abc").unwrap();
    old.router.write_handler("s", "step", "2").unwrap();
    old.move_to(&mut new);
    assert_eq!(new.read("s", "status"), "waiting for 1 steps, instruction 2");
    assert_eq!(new.read("s", "vars"), "x\tabc\n");
    let shorter = "s :: Script(TYPE PASSIVE, set x 1);";
    let mut w = crate::state::Writer::new();
    old.router.save(&mut w);
    let saved = w.into_bytes();
    let restored = Bench::new(shorter).router.restore(&mut crate::state::Reader::new(&saved));
    assert!(restored.is_err());
}

#[test]
fn a_script_is_tied_to_the_elements_it_calls() {
    let config = "print \"$(a/c.count) $(now) 1.5\", write b.reset, set x $(add $(d.length) 1), print >f.txt e.count, \
                  save g.count x.txt, print \"h.i\"";
    assert_eq!(super::ties(config), ["a/c", "b", "d", "e", "g"]);
}

#[test]
fn time_passes_while_a_script_waits() {
    let mut bench =
        Bench::new("s :: Script(wait 1, write c.reset_counts, stop); c :: Counter; Idle -> c -> Discard;");
    bench.advance(Duration::from_millis(900));
    assert_eq!(bench.read("s", "status"), "waiting for time, instruction 1");
    assert!(!bench.pass().stop);
    bench.advance(Duration::from_millis(200));
    assert!(bench.pass().stop);
}
