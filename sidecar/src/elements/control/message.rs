//! Message and Error: say something on standard error when the router is built.

use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element};

const ARGS: &[Arg] = &[
    Arg::required("MESSAGE", "string", "what to say"),
    Arg::optional(
        "TYPE",
        "MESSAGE, WARNING or ERROR",
        "MESSAGE",
        "an error stops the router from being built",
    ),
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "Message",
    summary: "prints a message on configuration",
    ports: "0/0",
    args: ARGS,
    example: r#"
        Message("this router does nothing");
        Message("not for long", WARNING);
        Script(stop);
    "#,
    build: |args| build(args, "MESSAGE"),
    ..Descriptor::BASE
};

pub(super) static ERROR: Descriptor = Descriptor {
    class: "Error",
    summary: "prints an error and fails the configuration",
    ports: "0/0",
    args: ARGS,
    details: "Stands where a configuration must not be used, as in the form of a compound element that lacks an argument.",
    example: r#"
        elementclass Net { $address | Message("the net is $address"); || | Error("Net needs an address"); }
        Net(10.0.0.0/8);
        Script(stop);
    "#,
    build: |args| build(args, "ERROR"),
    ..Descriptor::BASE
};

struct Message(String);

impl Element for Message {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if !cx.dry() {
            cx.message(&self.0);
        }
        Ok(())
    }
}

fn build(args: &Args<'_>, kind: &str) -> Result<Box<dyn Element>, ConfigError> {
    let message: String = args.need("MESSAGE")?;
    let line = match args.text("TYPE").unwrap_or(kind) {
        "MESSAGE" => message,
        "WARNING" => format!("warning: {message}"),
        "ERROR" => return Err(message.into()),
        other => return Err(format!("TYPE: '{other}' is not one of MESSAGE, WARNING, ERROR").into()),
    };
    Ok(Box::new(Message(line)))
}
