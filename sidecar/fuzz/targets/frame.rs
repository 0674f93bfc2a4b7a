//! No bytes from a link make the decoder panic, and a frame that it takes is written back as one that it takes the same.

#![no_main]

use anf_sidecar::link::frame::Frame;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = BytesMut::from(bytes);
    while let Ok(Some(frame)) = Frame::decode(&mut input) {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(Frame::decode(&mut out).ok().flatten().as_ref(), Some(&frame));
        assert!(out.is_empty());
    }
});
