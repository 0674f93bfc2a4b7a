use std::os::unix::net::UnixStream;

use bytes::Bytes;

use super::super::*;
use crate::link::frame::MAX_PACKETS;

/// The two ends of a link on one node, dialler first.
fn pair() -> (Connection, Connection) {
    let (here, there) = UnixStream::pair().unwrap();
    let end = |socket| Connection::new(Transport::Local(Local::new(socket).unwrap()));
    (end(here), end(there))
}

fn frame(first: u64) -> Frame {
    let body = Bytes::from(vec![first as u8; 1_000]);
    Frame::Data(Data { edge: 1, epoch: 1, first, count: MAX_PACKETS, columns: 0, body })
}

/// Everything that can be read now.
fn read(end: &mut Connection) -> Result<Vec<u64>, ConnectionError> {
    let mut found = Vec::new();
    while end.fill(&mut [0; 4096])? > 0 {
        while let Some(frame) = end.next_frame()? {
            match frame {
                Frame::Data(data) => found.push(data.first),
                other => panic!("{other:?}"),
            }
        }
    }
    Ok(found)
}

/// Until both ends send by the ring.
fn settle(dialler: &mut Connection, listener: &mut Connection) {
    dialler.offer_ring().unwrap();
    for _ in 0..4 {
        dialler.flush().unwrap();
        listener.flush().unwrap();
        assert_eq!((read(listener).unwrap().len(), read(dialler).unwrap().len()), (0, 0));
    }
    assert_eq!((dialler.transport(), listener.transport()), ("ring", "ring"));
}

#[test]
fn a_link_changes_to_a_ring_under_way_and_every_frame_comes_once_and_in_order() {
    let (mut dialler, mut listener) = pair();
    let (mut to_listener, mut to_dialler) = (Vec::new(), Vec::new());
    for number in 0..3_000 {
        dialler.queue(&frame(number)).unwrap();
        listener.queue(&frame(number)).unwrap();
        if number == 100 {
            dialler.offer_ring().unwrap();
        }
        dialler.flush().unwrap();
        // The listener sends and reads less often: buffers and ring fill up.
        if number % 7 == 0 {
            listener.flush().unwrap();
            to_listener.extend(read(&mut listener).unwrap());
            to_dialler.extend(read(&mut dialler).unwrap());
        }
    }
    while !(dialler.output.is_empty() && listener.output.is_empty()) {
        dialler.flush().unwrap();
        listener.flush().unwrap();
        to_listener.extend(read(&mut listener).unwrap());
        to_dialler.extend(read(&mut dialler).unwrap());
    }
    to_listener.extend(read(&mut listener).unwrap());
    to_dialler.extend(read(&mut dialler).unwrap());
    assert_eq!((dialler.transport(), listener.transport()), ("ring", "ring"));
    assert_eq!(to_listener, (0..3_000).collect::<Vec<u64>>());
    assert_eq!(to_dialler, (0..3_000).collect::<Vec<u64>>());
}

#[test]
fn what_a_peer_wrote_before_it_died_is_read_and_then_the_link_is_closed() {
    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    (0..5).for_each(|number| frame(number).encode(&mut dialler.output));
    dialler.flush().unwrap();
    drop(dialler);
    assert!(listener.fill(&mut [0; 64]).unwrap() > 5_000);
    assert!(matches!(listener.next_frame(), Ok(Some(_))));
    assert_eq!(listener.fill(&mut [0; 64]).unwrap_err().reason(), "closed-by-peer");
}

#[test]
fn an_end_that_sleeps_is_woken_by_the_socket_and_one_that_must_not_sleep_is_told() {
    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    assert!(listener.sleep(Takes::Frames).unwrap());
    dialler.queue(&frame(0)).unwrap();
    assert!(dialler.output.is_empty() && dialler.has_output());
    dialler.flush().unwrap();
    assert!(!dialler.has_output());
    let mut doorbell = [0; 8];
    let Transport::Local(local) = &listener.transport else { unreachable!() };
    assert_eq!(rustix::net::recv(local, &mut doorbell, rustix::net::RecvFlags::PEEK).unwrap().1, 1);
    assert!(!listener.sleep(Takes::Frames).unwrap());
    assert!(listener.sleep(Takes::Nothing).unwrap());
    assert_eq!(read(&mut listener).unwrap(), [0]);
}

#[test]
fn a_writer_that_waits_for_room_is_woken_when_there_is_some() {
    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    dialler.output.resize(1 << 20, 0);
    dialler.flush().unwrap();
    assert!(!dialler.output.is_empty() && !dialler.waits_to_write());
    assert!(dialler.sleep(Takes::Frames).unwrap());
    while listener.poll_ring().unwrap() > 0 {}
    let Transport::Local(local) = &dialler.transport else { unreachable!() };
    assert_eq!(rustix::net::recv(local, &mut [0; 8], rustix::net::RecvFlags::PEEK).unwrap().1, 1);
    assert_eq!(dialler.fill(&mut [1; 8]).unwrap(), 0, "a doorbell is no byte of the stream");
    assert!(!dialler.sleep(Takes::Frames).unwrap());
}

#[test]
fn a_peer_that_tampers_with_a_ring_or_with_the_change_to_it_is_cut_off() {
    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    let Transport::Local(local) = &dialler.transport else { unreachable!() };
    local.scribble(0x8000_0000);
    assert!(listener.ring_is_readable(), "so that somebody looks");
    assert_eq!(listener.poll_ring().unwrap_err().reason(), "tampered-ring");

    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    let Transport::Local(local) = &dialler.transport else { unreachable!() };
    rustix::io::write(local, b"by the socket").unwrap();
    assert_eq!(listener.fill(&mut [0; 64]).unwrap_err().reason(), "tampered-ring");

    for step in [RingStep::Offer, RingStep::Rest] {
        let (mut dialler, mut listener) = pair();
        Frame::Ring(step).encode(&mut dialler.output);
        dialler.flush().unwrap();
        assert_eq!(read(&mut listener).unwrap_err().reason(), "tampered-ring", "without a ring");
    }
}

#[test]
fn frames_of_garbage_in_a_ring_close_the_link() {
    let (mut dialler, mut listener) = pair();
    settle(&mut dialler, &mut listener);
    dialler.output.extend_from_slice(&[0xff; 100]);
    dialler.flush().unwrap();
    listener.poll_ring().unwrap();
    assert_eq!(listener.next_frame().unwrap_err().reason(), "malformed-frame");
}
