//! ControlSocket: handlers of the router over a socket. The element only says where; who runs the router opens it.

use std::path::PathBuf;

use crate::element::{Arg, Args, ConfigError, Cx, Descriptor, Element, Handler, HandlerError, Outside};
use crate::engine::{ControlEndpoint, ControlPlace};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    class: "ControlSocket",
    summary: "opens control sockets for other programs",
    ports: "0/0",
    args: &[
        Arg::required("TYPE", "TCP or UNIX", "kind of socket"),
        Arg::required("PLACE", "port or file name", "where it listens; `PORT+` takes the next free one"),
        Arg::keyword("READONLY", "bool", "false", "no write handler may be called"),
        Arg::keyword("LOCALHOST", "bool", "false", "only this machine may connect"),
        Arg::keyword("VERBOSE", "bool", "false", "taken for Click's sake: connections are not reported"),
        Arg::keyword("RETRIES", "int", "0", "taken for Click's sake: a place that is taken is an error"),
        Arg::keyword("RETRY_WARNINGS", "bool", "true", "taken for Click's sake"),
    ],
    handlers: &[
        Handler::read("port", "the TCP port that was asked for"),
        Handler::read("filename", "the UNIX socket"),
    ],
    outside: Outside::Socket,
    details: "Clients speak Click's ControlSocket protocol 1.3: READ, WRITE, READDATA, WRITEDATA, CHECKREAD, CHECKWRITE, LLRPC, QUIT. Options -p and -u of `anf-sidecar run` do the same without an element. A pod serves its handlers by its control API instead.",
    example: r#"
        ControlSocket(UNIX, /run/my-router.sock);
        RatedSource(RATE 10) -> c :: Counter -> Discard;
        // echo "READ c.count" | socat - UNIX-CONNECT:/run/my-router.sock
    "#,
    build,
    ..Descriptor::BASE
};

struct ControlSocket {
    endpoint: ControlEndpoint,
}

fn build(args: &Args<'_>) -> Result<Box<dyn Element>, ConfigError> {
    let place: String = args.need("PLACE")?;
    let kind: String = args.need("TYPE")?;
    let place = match kind.to_ascii_uppercase().as_str() {
        "TCP" => {
            let (port, next_free) =
                place.strip_suffix('+').map_or((place.as_str(), false), |port| (port, true));
            let port = port.parse().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| ConfigError(vec!["PORT requires TCP port".to_owned()]))?;
            ControlPlace::Tcp { port, next_free, localhost: args.or("LOCALHOST", false)? }
        }
        "UNIX" => ControlPlace::Unix(PathBuf::from(place)),
        _ => return Err(format!("unknown socket type '{kind}'; use TCP or UNIX").into()),
    };
    Ok(Box::new(ControlSocket {
        endpoint: ControlEndpoint { place, read_only: args.or("READONLY", false)? },
    }))
}

impl Element for ControlSocket {
    fn initialize(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        cx.listen(self.endpoint.clone())
    }

    fn read(&mut self, _cx: &mut Cx<'_>, handler: &str, _param: &str) -> Result<String, HandlerError> {
        match (handler, &self.endpoint.place) {
            ("port", ControlPlace::Tcp { port, .. }) => Ok(port.to_string()),
            ("filename", ControlPlace::Unix(path)) => Ok(path.display().to_string()),
            _ => Err(HandlerError::NoHandler(handler.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::engine::{ControlEndpoint, ControlPlace};
    use crate::testing::Bench;

    #[test]
    fn the_router_knows_where_to_listen() {
        let mut bench =
            Bench::new("ControlSocket(tcp, 7777+, READONLY true); u :: ControlSocket(unix, /tmp/c);");
        let tcp = ControlPlace::Tcp { port: 7777, next_free: true, localhost: false };
        let unix = ControlPlace::Unix(PathBuf::from("/tmp/c"));
        assert_eq!(
            bench.router.take_control_endpoints(),
            [
                ControlEndpoint { place: tcp, read_only: true },
                ControlEndpoint { place: unix, read_only: false }
            ]
        );
        assert_eq!(bench.read("u", "filename"), "/tmp/c");
    }

    #[test]
    fn wrong_places_are_refused() {
        assert!(Bench::error("ControlSocket(tcp, 0);").contains("PORT requires TCP port"));
        assert!(Bench::error("ControlSocket(pipe, x);").contains("unknown socket type 'pipe'"));
    }
}
