//! The packet buffer and its pool.
//!
//! Invariants behind every `unsafe` block here:
//! 1. `Packet.0` comes from `allocate` and is owned by exactly one `Packet` until its `Drop`.
//! 2. The allocation is `HEAD + capacity` bytes, all of them initialised (allocated zeroed, never shrunk).
//! 3. `start + len <= capacity`; header offsets are only ever compared with those before they become a slice.
//! 4. A free list belongs to its thread and holds only buffers of the pooled capacity that no `Packet` owns.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::net::Ipv4Addr;
use std::ptr::{NonNull, null_mut};

use crate::engine::Time;

/// Bytes free before the data of a fresh packet: room for encapsulation. The data starts at 2 modulo 4, so that an IP
/// header behind 14 bytes of Ethernet is aligned, as in Click.
pub const HEADROOM: usize = 66;
/// Bytes of a pooled buffer, headroom included. Larger packets get a buffer of their own from the heap.
pub const POOLED_BYTES: usize = 2048;
/// The longest packet: what a 24-bit length can say.
pub const MAX_LENGTH: usize = 1 << 24;

/// Buffers that a thread keeps for re-use; more are given back to the allocator.
const POOL_LIMIT: u32 = 16_384;
const NONE: u32 = u32::MAX;
const HEAD: usize = std::mem::size_of::<Head>();

/// Where a frame was addressed to, as the device saw it (Click's packet type annotation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum PacketType {
    /// For this host.
    #[default]
    Host = 0,
    /// Link-level broadcast.
    Broadcast = 1,
    /// Link-level multicast.
    Multicast = 2,
    /// For another host.
    OtherHost = 3,
    /// Sent by this host.
    Outgoing = 4,
}

impl PacketType {
    /// The packet type of a wire number; unknown numbers are `Host`.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Broadcast,
            2 => Self::Multicast,
            3 => Self::OtherHost,
            4 => Self::Outgoing,
            _ => Self::Host,
        }
    }
}

/// The annotations of a packet: what elements tell later elements about it, beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anno {
    /// When the packet was received or made.
    pub timestamp: Time,
    /// Paint colour.
    pub paint: u8,
    /// Link-level addressing.
    pub packet_type: PacketType,
    /// VLAN tag control information; 0 for none.
    pub vlan_tci: u16,
    /// Next hop or destination address; 0.0.0.0 when unset.
    pub dst_ip: Ipv4Addr,
    /// Aggregate (flow) number.
    pub aggregate: u32,
    /// Position of the erroneous byte for an ICMP parameter problem.
    pub icmp_param_prob: u8,
    /// Whether FixIPSrc has to set the source address.
    pub fix_ip_src: bool,
    /// Bytes that the packet had on the wire and that were not captured.
    pub extra_length: u32,
    /// Further packets that this one stands for.
    pub extra_packets: u32,
    /// When the first packet of its flow was seen.
    pub first_timestamp: Time,
}

impl Anno {
    /// No annotation set.
    pub const EMPTY: Self = Self {
        timestamp: Time(0),
        paint: 0,
        packet_type: PacketType::Host,
        vlan_tci: 0,
        dst_ip: Ipv4Addr::UNSPECIFIED,
        aggregate: 0,
        icmp_param_prob: 0,
        fix_ip_src: false,
        extra_length: 0,
        extra_packets: 0,
        first_timestamp: Time(0),
    };
}

#[repr(C, align(64))]
struct Head {
    /// Link of the free list; meaningless while a `Packet` owns the buffer.
    next: *mut Head,
    capacity: u32,
    start: u32,
    len: u32,
    mac: u32,
    network: u32,
    transport: u32,
    anno: Anno,
}

/// A packet: an owned handle to a buffer. `Option<Packet>` is as small as `Packet`.
pub struct Packet(NonNull<Head>);

// SAFETY: invariant 1, the handle is the only way to its buffer; pools are per thread and take buffers from anywhere.
unsafe impl Send for Packet {}
// SAFETY: `&Packet` gives only shared reads.
unsafe impl Sync for Packet {}

struct Pool {
    first: Cell<*mut Head>,
    count: Cell<u32>,
}

/// Frees the thread's pool when the thread ends. Touched on the slow path only, so that the pool itself needs no
/// destructor and its access no check.
struct PoolGuard;

impl Drop for PoolGuard {
    fn drop(&mut self) {
        POOL.with(|pool| {
            let mut at = pool.first.replace(null_mut());
            pool.count.set(POOL_LIMIT); // Later frees on this thread go to the allocator.
            while !at.is_null() {
                // SAFETY: invariant 4.
                unsafe {
                    let next = (*at).next;
                    release(at);
                    at = next;
                }
            }
        });
    }
}

thread_local! {
    static POOL: Pool = const { Pool { first: Cell::new(null_mut()), count: Cell::new(0) } };
    static GUARD: PoolGuard = const { PoolGuard };
}

fn layout(capacity: usize) -> Layout {
    // The size is bounded by MAX_LENGTH plus headrooms, so this cannot overflow.
    Layout::from_size_align(HEAD + capacity, 64).unwrap_or(Layout::new::<Head>())
}

#[cold]
#[inline(never)]
fn allocate(capacity: usize) -> NonNull<Head> {
    let _ = GUARD.try_with(|_| ());
    let layout = layout(capacity);
    // SAFETY: the layout has a non-zero size.
    let raw = unsafe { alloc_zeroed(layout) }.cast::<Head>();
    let Some(head) = NonNull::new(raw) else { handle_alloc_error(layout) };
    // SAFETY: freshly allocated, aligned, large enough for a Head.
    unsafe {
        head.write(Head {
            next: null_mut(),
            capacity: capacity as u32,
            start: 0,
            len: 0,
            mac: NONE,
            network: NONE,
            transport: NONE,
            anno: Anno::EMPTY,
        });
    }
    head
}

/// # Safety
/// `head` comes from `allocate` and nobody else uses it.
unsafe fn release(head: *mut Head) {
    // SAFETY: as the caller promises; the layout is the one it was allocated with.
    unsafe { dealloc(head.cast(), layout((*head).capacity as usize)) }
}

impl Packet {
    /// A packet of `len` bytes with `headroom` bytes before them; the bytes are left-overs of earlier packets, to be
    /// overwritten by the caller. Lengths over [`MAX_LENGTH`] are cut to it.
    #[inline]
    pub fn stale(headroom: usize, len: usize) -> Self {
        if headroom + len > POOLED_BYTES {
            return Self::large(headroom, len);
        }
        let first = POOL.with(|pool| {
            let first = pool.first.get();
            if !first.is_null() {
                // SAFETY: invariant 4.
                pool.first.set(unsafe { (*first).next });
                pool.count.set(pool.count.get() - 1);
            }
            first
        });
        let mut packet = Self(NonNull::new(first).unwrap_or_else(|| allocate(POOLED_BYTES)));
        packet.reset(headroom, len);
        packet
    }

    #[cold]
    fn large(headroom: usize, len: usize) -> Self {
        let (headroom, len) = (headroom.min(MAX_LENGTH), len.min(MAX_LENGTH));
        let capacity = (headroom + len + 128).max(POOLED_BYTES + 1);
        let mut packet = Self(allocate(capacity));
        packet.reset(headroom, len);
        packet
    }

    #[inline]
    fn reset(&mut self, headroom: usize, len: usize) {
        let head = self.head_mut();
        debug_assert!(headroom + len <= head.capacity as usize);
        head.start = headroom as u32;
        head.len = len as u32;
        head.mac = NONE;
        head.network = NONE;
        head.transport = NONE;
        head.anno = Anno::EMPTY;
    }

    /// A packet with these bytes and the usual headroom.
    #[inline]
    pub fn from_slice(bytes: &[u8]) -> Self {
        Self::with_headroom(HEADROOM, bytes)
    }

    /// A packet with these bytes and at least `headroom` bytes before them.
    #[inline]
    pub fn with_headroom(headroom: usize, bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(MAX_LENGTH)];
        let mut packet = Self::stale(headroom, bytes.len());
        packet.data_mut().copy_from_slice(bytes);
        packet
    }

    /// A packet of `len` zero bytes with the usual headroom.
    pub fn zeroed(len: usize) -> Self {
        let mut packet = Self::stale(HEADROOM, len);
        packet.data_mut().fill(0);
        packet
    }

    #[inline(always)]
    fn head(&self) -> &Head {
        // SAFETY: invariant 1.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn head_mut(&mut self) -> &mut Head {
        // SAFETY: invariant 1.
        unsafe { self.0.as_mut() }
    }

    #[inline(always)]
    fn space(&self) -> *mut u8 {
        // SAFETY: invariant 2, the space follows the head in the same allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEAD) }
    }

    #[inline(always)]
    fn slice(&self, from: usize, to: usize) -> &[u8] {
        debug_assert!(from <= to && to <= self.head().capacity as usize);
        // SAFETY: invariants 2 and 3; callers check `from <= to <= start + len`.
        unsafe { std::slice::from_raw_parts(self.space().add(from), to - from) }
    }

    #[inline(always)]
    fn slice_mut(&mut self, from: usize, to: usize) -> &mut [u8] {
        debug_assert!(from <= to && to <= self.head().capacity as usize);
        // SAFETY: as `slice`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.space().add(from), to - from) }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        (self.head().start + self.head().len) as usize
    }

    /// Bytes of data.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.head().len as usize
    }

    /// The data.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        self.slice(self.head().start as usize, self.end())
    }

    /// The data, to change.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.slice_mut(self.head().start as usize, self.end())
    }

    /// The annotations.
    #[inline(always)]
    pub fn anno(&self) -> &Anno {
        &self.head().anno
    }

    /// The annotations, to change.
    #[inline(always)]
    pub fn anno_mut(&mut self) -> &mut Anno {
        &mut self.head_mut().anno
    }

    /// Bytes free before the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.head().start as usize
    }

    /// The data with the `count` bytes before it, which may have been stripped; fewer where there are fewer.
    pub fn data_from(&self, count: usize) -> &[u8] {
        let start = self.headroom();
        self.slice(start - count.min(start), self.end())
    }

    /// Bytes free behind the data.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.head().capacity as usize - self.end()
    }

    /// The last `count` bytes in front of the data; all of them if there are fewer.
    pub fn front(&self, count: usize) -> &[u8] {
        let start = self.headroom();
        self.slice(start - count.min(start), start)
    }

    /// Removes bytes from the front; they become headroom. `false`, and nothing done, if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn strip_front(&mut self, count: usize) -> bool {
        let head = self.head_mut();
        if count > head.len as usize {
            return false;
        }
        head.start += count as u32;
        head.len -= count as u32;
        true
    }

    /// Adds bytes at the front, whose contents are whatever was there before (so it undoes [`Packet::strip_front`]).
    /// Moves to a larger buffer if the headroom is too small.
    #[inline]
    pub fn grow_front(&mut self, count: usize) {
        if count > self.headroom() {
            self.make_room(count, 0);
        }
        let head = self.head_mut();
        head.start -= count as u32;
        head.len += count as u32;
    }

    /// Removes bytes from the end; all of them if there are fewer.
    #[inline]
    pub fn trim_back(&mut self, count: usize) {
        let head = self.head_mut();
        head.len -= (count.min(head.len as usize)) as u32;
    }

    /// Cuts the data to `len` bytes if it is longer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        let head = self.head_mut();
        head.len = head.len.min(len.min(MAX_LENGTH) as u32);
    }

    /// Adds zero bytes at the end and moves to a larger buffer if need be.
    pub fn grow_back(&mut self, count: usize) {
        let count = count.min(MAX_LENGTH);
        if count > self.tailroom() {
            self.make_room(0, count);
        }
        let end = self.end();
        self.slice_mut(end, end + count).fill(0);
        self.head_mut().len += count as u32;
    }

    /// Moves to a buffer with room for `front` and `back` more bytes; offsets and annotations stay with the data.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, front: usize, back: usize) {
        let (old_start, len) = (self.headroom(), self.len());
        let front = old_start.max(front + HEADROOM);
        let shift = front - old_start;
        let mut wider = Self::stale(front, len + back);
        wider.head_mut().len = len as u32;
        // What was stripped goes along: header offsets may point there.
        let end = old_start + len;
        wider.slice_mut(shift, shift + end).copy_from_slice(self.slice(0, end));
        let moved = |offset: u32| if offset == NONE { NONE } else { offset + shift as u32 };
        let (mac, network, transport) = (self.head().mac, self.head().network, self.head().transport);
        let head = wider.head_mut();
        head.mac = moved(mac);
        head.network = moved(network);
        head.transport = moved(transport);
        head.anno = *self.anno();
        *self = wider;
    }

    #[inline]
    fn relative(&self, offset: u32) -> Option<isize> {
        (offset != NONE).then(|| offset as isize - self.head().start as isize)
    }

    #[inline]
    fn absolute(&self, offset: isize) -> u32 {
        let at = self.head().start as isize + offset;
        if at >= 0 && at <= self.head().capacity as isize { at as u32 } else { NONE }
    }

    /// Where the MAC header is, relative to the data; negative once stripped.
    #[inline]
    pub fn mac_offset(&self) -> Option<isize> {
        self.relative(self.head().mac)
    }

    /// Where the network header is, relative to the data; negative once stripped.
    #[inline]
    pub fn network_offset(&self) -> Option<isize> {
        self.relative(self.head().network)
    }

    /// Where the transport header is, relative to the data; negative once stripped.
    #[inline]
    pub fn transport_offset(&self) -> Option<isize> {
        self.relative(self.head().transport)
    }

    /// Says where the MAC header is, relative to the data; positions outside the buffer clear it.
    #[inline]
    pub fn set_mac_offset(&mut self, offset: Option<isize>) {
        self.head_mut().mac = offset.map_or(NONE, |o| self.absolute(o));
    }

    /// Says where the network header is, relative to the data; positions outside the buffer clear it.
    #[inline]
    pub fn set_network_offset(&mut self, offset: Option<isize>) {
        self.head_mut().network = offset.map_or(NONE, |o| self.absolute(o));
    }

    /// Says where the transport header is, relative to the data; positions outside the buffer clear it.
    #[inline]
    pub fn set_transport_offset(&mut self, offset: Option<isize>) {
        self.head_mut().transport = offset.map_or(NONE, |o| self.absolute(o));
    }

    /// Marks a network header of `header_len` bytes at `offset` of the data, and the transport header behind it.
    #[inline]
    pub fn set_network_header(&mut self, offset: usize, header_len: usize) {
        self.set_network_offset(Some(offset as isize));
        self.set_transport_offset(Some((offset + header_len) as isize));
    }

    #[inline]
    fn tail(&self, offset: u32) -> &[u8] {
        let end = self.end();
        // NONE is larger than any end.
        if offset as usize > end { &[] } else { self.slice(offset as usize, end) }
    }

    #[inline]
    fn tail_mut(&mut self, offset: u32) -> &mut [u8] {
        let end = self.end();
        if offset as usize > end { &mut [] } else { self.slice_mut(offset as usize, end) }
    }

    /// From the MAC header to the end of the data; empty when no header is marked.
    #[inline]
    pub fn mac(&self) -> &[u8] {
        self.tail(self.head().mac)
    }

    /// From the network header to the end of the data (also when stripped); empty when no header is marked.
    #[inline]
    pub fn network(&self) -> &[u8] {
        self.tail(self.head().network)
    }

    /// As [`Packet::network`], to change.
    #[inline]
    pub fn network_mut(&mut self) -> &mut [u8] {
        self.tail_mut(self.head().network)
    }

    /// From the transport header to the end of the data; empty when no header is marked.
    #[inline]
    pub fn transport(&self) -> &[u8] {
        self.tail(self.head().transport)
    }

    /// As [`Packet::transport`], to change.
    #[inline]
    pub fn transport_mut(&mut self) -> &mut [u8] {
        self.tail_mut(self.head().transport)
    }
}

impl Clone for Packet {
    /// A copy with data, header offsets, annotations and what was stripped from the front.
    fn clone(&self) -> Self {
        let (start, len, end) = (self.headroom(), self.len(), self.end());
        let mut copy = Self::stale(start, len);
        copy.slice_mut(0, end).copy_from_slice(self.slice(0, end));
        let (from, to) = (self.head(), copy.head_mut());
        to.mac = from.mac;
        to.network = from.network;
        to.transport = from.transport;
        to.anno = from.anno;
        copy
    }
}

impl Drop for Packet {
    #[inline]
    fn drop(&mut self) {
        let head = self.0.as_ptr();
        // SAFETY: invariant 1, this was the only owner; invariant 4, only pooled sizes join the list.
        unsafe {
            if (*head).capacity as usize == POOLED_BYTES {
                let kept = POOL.with(|pool| {
                    let count = pool.count.get();
                    if count >= POOL_LIMIT {
                        return false;
                    }
                    (*head).next = pool.first.get();
                    pool.first.set(head);
                    pool.count.set(count + 1);
                    true
                });
                if kept {
                    return;
                }
            }
            release(head);
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes: ", self.len())?;
        for byte in self.data().iter().take(32) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(if self.len() > 32 { "…)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_eight_bytes_and_the_head_two_cache_lines() {
        assert_eq!(std::mem::size_of::<Option<Packet>>(), 8);
        const { assert!(HEAD <= 128) };
        assert_eq!((HEAD + HEADROOM) % 4, 2);
    }

    #[test]
    fn stripping_and_growing_keep_bytes_and_header_offsets() {
        let mut p = Packet::from_slice(&[1, 2, 3, 4, 5, 6]);
        p.set_mac_offset(Some(0));
        p.set_network_header(2, 2);
        assert!(p.strip_front(2));
        assert_eq!((p.mac_offset(), p.network_offset(), p.transport_offset()), (Some(-2), Some(0), Some(2)));
        assert_eq!((p.mac(), p.transport()), (&[1u8, 2, 3, 4, 5, 6][..], &[5u8, 6][..]));
        assert!(!p.strip_front(5));
        p.grow_front(2);
        assert_eq!(p.data(), [1, 2, 3, 4, 5, 6]);
        p.trim_back(3);
        assert!(p.transport().is_empty());
    }

    #[test]
    fn a_packet_that_outgrows_its_buffer_moves_with_all_it_has() {
        let mut p = Packet::with_headroom(2, &[9; 1000]);
        p.set_network_header(4, 20);
        p.anno_mut().paint = 7;
        p.grow_front(100);
        p.grow_back(4000);
        assert_eq!(p.len(), 5100);
        assert_eq!(p.data()[100..1100], [9; 1000]);
        assert_eq!(p.data()[1100..], [0; 4000]);
        assert_eq!((p.network_offset(), p.anno().paint), (Some(104), 7));
    }

    #[test]
    fn a_copy_shares_nothing() {
        let p = Packet::from_slice(&[1, 2, 3]);
        let mut q = p.clone();
        q.data_mut()[0] = 9;
        assert_eq!((p.data(), q.data()), (&[1u8, 2, 3][..], &[9u8, 2, 3][..]));
    }

    #[test]
    fn packets_may_end_on_another_thread() {
        let packets: Vec<_> = (0..100).map(|n| Packet::zeroed(n * 40)).collect();
        std::thread::spawn(move || drop(packets)).join().unwrap();
    }

    #[test]
    fn a_used_buffer_comes_back_without_annotations() {
        let mut p = Packet::zeroed(10);
        p.anno_mut().paint = 3;
        p.set_network_header(0, 20);
        drop(p);
        let p = Packet::stale(HEADROOM, 10);
        assert_eq!((p.anno(), p.network_offset()), (&Anno::EMPTY, None));
    }
}
