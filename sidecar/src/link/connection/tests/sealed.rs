use bytes::Bytes;

use super::super::*;
use crate::link::frame::Marker;
use crate::link::handshake::Purpose;

fn hello() -> Hello {
    Hello {
        function: "uid".into(),
        graph: "hash".into(),
        from: "classify".into(),
        to: "nat".into(),
        owner: "pod".into(),
        epoch: 3,
        purpose: Purpose::Packets,
    }
}

fn terms(seal_packets: bool) -> Terms {
    Terms { seal_packets }
}

/// Both ends of a connection on which nothing was said yet.
fn pair(listen: &Address) -> (Connection, Connection) {
    let listener = Listener::bind(listen).unwrap();
    let address = match &listener {
        Listener::Tcp(tcp) => Address::Tcp(tcp.local_addr().unwrap()),
        Listener::Unix(_) => listen.clone(),
    };
    let dialler = Connection::dial(&address).unwrap();
    let listening = std::iter::repeat_with(|| Connection::accept(&listener).unwrap()).flatten().next();
    (dialler, listening.unwrap())
}

fn tcp() -> (Connection, Connection) {
    pair(&"127.0.0.1:0".parse().unwrap())
}

fn fill(connection: &mut Connection) -> Result<usize, ConnectionError> {
    connection.fill(&mut [0; 4096])
}

/// Greets until the dialler is welcome.
fn meet(
    (dialler, listening): (&mut Connection, &mut Connection),
    keys: [&[u8]; 2],
    seal_packets: bool,
) -> Result<(), ConnectionError> {
    let mut dialling = dialler.introduce(keys[0], hello(), terms(false))?;
    let mut listens = Handshake::listen(keys[1], terms(seal_packets));
    let mut known = false;
    loop {
        dialler.flush()?;
        fill(listening)?;
        if !known && matches!(listening.greet(&mut listens)?, Met::Known(_)) {
            known = true;
            listening.welcome(Welcome {
                owner: "pod2".into(),
                epoch: 4,
                edges: vec![],
                handover: None,
                takes_ring: false,
            });
        }
        listening.flush()?;
        fill(dialler)?;
        if matches!(dialler.greet(&mut dialling)?, Met::Up(_)) {
            return Ok(());
        }
    }
}

fn next(connection: &mut Connection) -> Result<Frame, ConnectionError> {
    loop {
        if let Some(frame) = connection.next_frame()? {
            return Ok(frame);
        }
        fill(connection)?;
    }
}

fn frames() -> [Frame; 3] {
    let body = Bytes::from_static(b"the bytes of a packet");
    [
        Frame::Data(Data { edge: 1, epoch: 3, first: 0, count: 1, columns: 0, body }),
        Frame::Marker(Marker { edge: 1, next: 1, epoch: 4 }),
        Frame::Final(Bytes::from(vec![5; 1 << 20])),
    ]
}

fn shows_packets(connection: &Connection) -> bool {
    connection.output.windows(9).any(|bytes| bytes == b"the bytes")
}

#[test]
fn frames_cross_in_both_directions_and_packets_are_sealed_if_either_end_asks() {
    for seal_packets in [false, true] {
        let (mut dialler, mut listening) = tcp();
        meet((&mut dialler, &mut listening), [b"key", b"key"], seal_packets).unwrap();
        for frame in &frames() {
            dialler.queue(frame).unwrap();
            listening.queue(frame).unwrap();
        }
        assert_eq!(shows_packets(&dialler), !seal_packets);
        let mut come = Vec::new();
        while come.len() < 3 {
            dialler.flush().unwrap();
            fill(&mut listening).unwrap();
            come.extend(std::iter::from_fn(|| listening.next_frame().unwrap()));
        }
        assert_eq!(come, frames());
        listening.flush().unwrap();
        while listening.has_output() {
            fill(&mut dialler).unwrap();
            listening.flush().unwrap();
        }
        assert_eq!([(); 3].map(|()| next(&mut dialler).unwrap()), frames());
    }
}

#[test]
fn a_marker_that_is_altered_on_the_way_ends_the_link_with_a_cause() {
    let (mut dialler, mut listening) = tcp();
    meet((&mut dialler, &mut listening), [b"key", b"key"], false).unwrap();
    dialler.queue(&frames()[1]).unwrap();
    if let Some((writer, _)) = &mut dialler.records {
        writer.close(&mut dialler.output);
    }
    let last = dialler.output.len() - 1;
    dialler.output[last - 17] ^= 1;
    dialler.flush().unwrap();
    assert_eq!(next(&mut listening).unwrap_err().reason(), "broken-seal");
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_a_record_leaves_no_frame() {
    let (mut dialler, mut listening) = tcp();
    meet((&mut dialler, &mut listening), [b"key", b"key"], true).unwrap();
    dialler.queue(&frames()[1]).unwrap();
    if let Some((writer, _)) = &mut dialler.records {
        writer.close(&mut dialler.output);
    }
    dialler.output.truncate(dialler.output.len() - 3);
    dialler.flush().unwrap();
    drop(dialler);
    assert_eq!(next(&mut listening).unwrap_err().reason(), "closed-by-peer");
}

#[test]
fn ends_with_different_keys_do_not_meet() {
    let (mut dialler, mut listening) = tcp();
    let error = meet((&mut dialler, &mut listening), [b"key", b"other"], true).unwrap_err();
    assert_eq!(error.reason(), "wrong-key");
}

#[test]
fn within_a_node_frames_go_as_they_are() {
    let directory = std::env::temp_dir().join(format!("anf-link-{}", std::process::id()));
    let (mut dialler, mut listening) = pair(&Address::Unix(directory.clone()));
    meet((&mut dialler, &mut listening), [b"key", b"key"], true).unwrap();
    dialler.queue(&frames()[0]).unwrap();
    assert!(shows_packets(&dialler));
    dialler.flush().unwrap();
    assert_eq!(next(&mut listening).unwrap(), frames()[0]);
    let _ = std::fs::remove_file(directory);
}
