//! Null, PushNull and PullNull: pass packets on unchanged; the latter two also say how packets move there.

use crate::element::{Args, Batch, ConfigError, Cx, Descriptor, Element};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Null",
    summary: "passes packets unchanged",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 2, STOP true) -> Null -> Print -> Discard;
    "#,
    build,
    ..Descriptor::BASE
};

pub(super) static PUSH: Descriptor = Descriptor {
    class: "PushNull",
    summary: "push-only null element",
    processing: "h/h",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 2) -> PushNull -> Queue -> Print -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

pub(super) static PULL: Descriptor = Descriptor {
    class: "PullNull",
    summary: "pull-only null element",
    processing: "l/l",
    example: r#"
        InfiniteSource(DATA \<01 02>, LIMIT 2) -> Queue -> PullNull -> Print -> Discard;
        DriverManager(wait 0.1s, stop);
    "#,
    build,
    ..Descriptor::BASE
};

struct Null;

fn build(_: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    Ok(Box::new(Null))
}

impl Element for Null {
    fn push(&mut self, _cx: &mut Cx<'_>, _port: usize, _batch: &mut Batch) {}
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn packets_pass_unchanged_pushed_and_pulled() {
        let mut bench = Bench::new("in :: TestIn -> PushNull -> Queue -> PullNull -> out :: TestPuller;");
        bench.push("in", b"x");
        let got: Vec<_> = bench.pull("out", 9).iter().map(|p| p.data().to_vec()).collect();
        assert_eq!(got, [b"x"]);
    }

    #[test]
    fn the_direction_of_a_neighbour_has_to_fit() {
        assert!(Bench::error("TestIn -> PullNull -> TestPuller;").contains("push"));
        assert!(Bench::error("TestIn -> PushNull(1) -> TestOut;").contains("too many arguments"));
    }
}
