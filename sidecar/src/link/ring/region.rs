//! The memory of a ring: a sealed memfd that two processes map.
//!
//! The other process may write to it at any time, whatever the protocol says. Invariants behind every `unsafe` block:
//!
//! 1. The mapping is [`LENGTH`] bytes long until the region is dropped. The file behind it cannot become shorter: it is
//!    sealed against that, and it lies in ordinary memory (tmpfs), where a page is always there to be had; both are
//!    checked before a file of the peer is mapped.
//! 2. No reference to the bytes of a ring is ever made: they are copied by raw pointer from and to private memory.
//!    Bytes have no invalid values, and what a copy holds is looked at only when it is private and cannot change.
//! 3. The positions are only reached as atomics. They are aligned, and any value of theirs is valid.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

use bytes::{BufMut, BytesMut};
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::cursor::Shared;

/// Bytes of one direction: with its twin within a level-2 cache, and some three thousand small packets.
pub(super) const CAPACITY: usize = 256 << 10;
/// The positions of both directions, each on its own page.
const POSITIONS: usize = 4096;
const LENGTH: usize = 2 * (POSITIONS + CAPACITY);
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
/// `f_type` of memory files in pages of the common size.
const TMPFS: u64 = 0x0102_1994;

/// Why a file of the peer is no ring.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The system says so.
    #[error("the ring's memory cannot be had")]
    Io(#[from] io::Error),
    /// The peer could take the memory away under this end's feet.
    #[error("the peer's ring is not sealed memory of {LENGTH} bytes")]
    NotSealed,
}

impl From<rustix::io::Errno> for RegionError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the end that made the ring.
    FromMaker,
    /// To it.
    ToMaker,
}

impl Direction {
    fn start(self) -> usize {
        match self {
            Self::FromMaker => 0,
            Self::ToMaker => POSITIONS + CAPACITY,
        }
    }
}

/// The mapped memory of a ring.
#[derive(Debug)]
pub(super) struct Region(NonNull<u8>);

// SAFETY: the mapping belongs to no thread; it is reached by atomics and by copies that the positions keep apart.
unsafe impl Send for Region {}

impl Region {
    /// New memory, and the file to give to the peer.
    pub(super) fn create() -> Result<(Self, OwnedFd), RegionError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know that memory may be declared never to be run.
        let file = memfd_create("anf-link", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create("anf-link", flags))?;
        ftruncate(&file, LENGTH as u64)?;
        fcntl_add_seals(&file, SEALS)?;
        Ok((Self::map(file.as_fd())?, file))
    }

    /// The memory behind a file that the peer gave.
    pub(super) fn adopt(file: &OwnedFd) -> Result<Self, RegionError> {
        let is_memory = fstatfs(file)?.f_type as u64 == TMPFS;
        let is_sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS));
        if !is_memory || !is_sealed || fstat(file)?.st_size as u64 != LENGTH as u64 {
            return Err(RegionError::NotSealed);
        }
        Self::map(file.as_fd())
    }

    fn map(file: BorrowedFd<'_>) -> Result<Self, RegionError> {
        // Pages are made now, so that no packet waits for one.
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: the system chooses the address; nothing is replaced.
        let start = unsafe { mmap(ptr::null_mut(), LENGTH, access, flags, file, 0)? };
        NonNull::new(start.cast()).map(Self).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory).into())
    }

    /// The positions of one direction.
    pub(super) fn positions(&self, direction: Direction) -> &Shared<AtomicU32> {
        const { assert!(size_of::<Shared<AtomicU32>>() <= POSITIONS) }
        // SAFETY: invariants 1 and 3: a page's beginning is aligned for it, the reference lives as long as the mapping.
        unsafe { self.0.add(direction.start()).cast::<Shared<AtomicU32>>().as_ref() }
    }

    fn bytes(&self, direction: Direction) -> NonNull<u8> {
        // SAFETY: invariant 1: within the mapping.
        unsafe { self.0.add(direction.start() + POSITIONS) }
    }

    /// Copies `bytes`, at most [`CAPACITY`] of them, into the ring from `offset` on, around its end.
    pub(super) fn write(&self, direction: Direction, offset: usize, bytes: &[u8]) {
        let (offset, bytes) = (offset % CAPACITY, &bytes[..bytes.len().min(CAPACITY)]);
        let (first, rest) = bytes.split_at(bytes.len().min(CAPACITY - offset));
        let ring = self.bytes(direction);
        // SAFETY: invariants 1 and 2: `offset + first.len() <= CAPACITY`, `rest.len() <= CAPACITY`.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), ring.add(offset).as_ptr(), first.len());
            ptr::copy_nonoverlapping(rest.as_ptr(), ring.as_ptr(), rest.len());
        }
    }

    /// Appends `count` bytes, at most [`CAPACITY`] of them, from `offset` on, around the ring's end.
    pub(super) fn read(&self, direction: Direction, offset: usize, count: usize, into: &mut BytesMut) {
        let (offset, count) = (offset % CAPACITY, count.min(CAPACITY));
        let first = count.min(CAPACITY - offset);
        into.reserve(count);
        let target = into.chunk_mut().as_mut_ptr();
        let ring = self.bytes(direction);
        // SAFETY: invariants 1 and 2: `offset + first <= CAPACITY`, `count <= CAPACITY`; `target` has room for `count`
        // bytes, which are all written before they count.
        unsafe {
            ptr::copy_nonoverlapping(ring.add(offset).as_ptr(), target, first);
            ptr::copy_nonoverlapping(ring.as_ptr(), target.add(first), count - first);
            into.advance_mut(count);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: invariant 1; nobody has a reference any more. It fails only for a mapping that is none.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), LENGTH) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_the_same_bytes_around_the_rings_end_and_directions_are_apart() {
        let (here, file) = Region::create().unwrap();
        let there = Region::adopt(&file).unwrap();
        here.write(Direction::FromMaker, CAPACITY - 3, b"abcdef");
        here.write(Direction::ToMaker, 0, b"other");
        let mut found = BytesMut::from(&b">"[..]);
        there.read(Direction::FromMaker, CAPACITY - 3, 6, &mut found);
        assert_eq!(&found[..], b">abcdef");
    }

    #[test]
    fn memory_that_the_peer_could_take_away_is_refused() {
        let unsealed = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&unsealed, LENGTH as u64).unwrap();
        assert!(matches!(Region::adopt(&unsealed), Err(RegionError::NotSealed)));
        let short = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&short, 4096).unwrap();
        fcntl_add_seals(&short, SEALS).unwrap();
        assert!(matches!(Region::adopt(&short), Err(RegionError::NotSealed)));
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert!(matches!(Region::adopt(&pipe), Err(RegionError::NotSealed)));
    }

    #[test]
    fn a_sealed_ring_cannot_be_cut_short() {
        let (_region, file) = Region::create().unwrap();
        assert_eq!(ftruncate(&file, 0), Err(rustix::io::Errno::PERM));
    }
}
