//! Signals of the process, made readable, so that the packet thread can wait for them together with everything else.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::FORBIDDEN;
use signal_hook::flag;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Signals that were asked for.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    arrived: Arc<AtomicBool>,
}

impl Signals {
    /// From now on these signals do nothing but arrive here.
    pub(super) fn watch(numbers: &[i32]) -> io::Result<Self> {
        if let Some(number) = numbers.iter().find(|number| FORBIDDEN.contains(number)) {
            let text = format!("signal {number} cannot be waited for");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let (receiver, sender) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(receiver, sender, SignalOnly, numbers)?;
        let arrived = Arc::new(AtomicBool::new(false));
        for &number in numbers {
            flag::register(number, Arc::clone(&arrived))?;
        }
        Ok(Self { delivery, arrived })
    }

    /// Whether there are any: costs no system call.
    pub(super) fn arrived(&self) -> bool {
        self.arrived.load(Ordering::Acquire)
    }

    /// Readable when there are any.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// The signals since the last call.
    pub(super) fn take(&mut self) -> Vec<i32> {
        self.arrived.store(false, Ordering::Release);
        self.delivery.pending().collect()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn a_signal_arrives_as_its_number() {
        let mut signals = Signals::watch(&[libc::SIGWINCH]).unwrap();
        assert!(signals.take().is_empty());
        kill_process(getpid(), Signal::WINCH).unwrap();
        poll(&mut [PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN)], None).unwrap();
        assert!(signals.arrived());
        assert_eq!(signals.take(), [libc::SIGWINCH]);
        assert!(!signals.arrived() && signals.take().is_empty());
    }

    #[test]
    fn a_signal_that_cannot_be_caught_is_refused() {
        assert!(Signals::watch(&[libc::SIGKILL]).is_err());
    }
}
