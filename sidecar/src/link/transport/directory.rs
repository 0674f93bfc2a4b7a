//! A directory that the sidecars of a function on one node share: each takes links there at a UNIX socket named after its
//! owner id. Whoever finds the socket of the owner that it wants is on the same node, so nothing need be told about it;
//! who it really is shows in the handshake.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::{Listener, Transport};
use crate::link::address::Address;

/// What sockets are called behind the owner's id.
const SUFFIX: &str = "sock";

/// The directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, which must exist when it is used.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Lets the group of this process in, and nobody else but the owner, who must be this process's user.
    pub fn share_with_group(&self) -> io::Result<()> {
        std::os::unix::fs::chown(&self.0, None, Some(rustix::process::getegid().as_raw()))?;
        fs::set_permissions(&self.0, Permissions::from_mode(0o770))
    }

    /// The address of an owner's socket. `None` for an id that is no file name.
    pub fn address(&self, owner: &str) -> Option<Address> {
        let is_name = !owner.is_empty() && !owner.starts_with('.') && !owner.contains(['/', '\0']);
        is_name.then(|| Address::Unix(self.0.join(format!("{owner}.{SUFFIX}"))))
    }

    /// Takes links of this node for `owner`, and removes the sockets of those that are gone.
    pub fn listen(&self, owner: &str) -> io::Result<Listener> {
        let Some(Address::Unix(path)) = self.address(owner) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("\"{owner}\" is no file name")));
        };
        self.remove_dead()?;
        // It gets its name when it listens: a socket that is found can be dialled, or its owner is gone.
        let unnamed = self.0.join(format!(".{owner}"));
        let _ = fs::remove_file(&unnamed);
        let listener = UnixListener::bind(&unnamed)?;
        listener.set_nonblocking(true)?;
        // Sidecars of one function run as different users; who may come in is the directory's business.
        fs::set_permissions(&unnamed, Permissions::from_mode(0o666))?;
        fs::rename(&unnamed, &path)?;
        Ok(Listener::Unix(listener))
    }

    /// Connects to `owner`, if it takes links on this node.
    pub fn dial(&self, owner: &str) -> Option<Transport> {
        Transport::dial(&self.address(owner)?).ok()
    }

    /// The socket of `owner` is not needed any more.
    pub fn leave(&self, owner: &str) {
        if let Some(Address::Unix(path)) = self.address(owner) {
            // One that is not there needs no removing.
            let _ = fs::remove_file(path);
        }
    }

    fn remove_dead(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_ours = entry.path().extension().is_some_and(|suffix| suffix == SUFFIX);
            if is_ours && entry.file_type()?.is_socket() && is_dead(&entry.path()) {
                // Another sidecar may have been quicker.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn is_dead(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("anf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory::new(path)
    }

    #[test]
    fn an_owner_is_found_while_it_listens_and_its_socket_goes_with_it() {
        let directory = directory("found");
        assert!(directory.dial("nat-0").is_none());
        let listener = directory.listen("nat-0").unwrap();
        assert!(directory.dial("nat-0").is_some());
        assert!(listener.accept().unwrap().is_some());
        directory.leave("nat-0");
        assert!(directory.dial("nat-0").is_none());
        fs::remove_dir_all(directory.0).unwrap();
    }

    #[test]
    fn sockets_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let directory = directory("dead");
        drop(directory.listen("dead").unwrap());
        let _living = directory.listen("living").unwrap();
        let _again = directory.listen("living").unwrap();
        let names: Vec<_> =
            fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["living.sock"]);
        fs::remove_dir_all(directory.0).unwrap();
    }

    #[test]
    fn a_shared_directory_lets_the_group_in_and_no_others() {
        let directory = directory("group");
        directory.share_with_group().unwrap();
        assert_eq!(fs::metadata(&directory.0).unwrap().permissions().mode() & 0o777, 0o770);
        fs::remove_dir_all(directory.0).unwrap();
    }

    #[test]
    fn an_id_cannot_lead_out_of_the_directory() {
        let directory = directory("out");
        for id in ["", ".", "..", "../x", "a/b", "a\0b"] {
            assert_eq!(directory.address(id), None, "{id:?}");
            assert!(directory.listen(id).is_err());
        }
        fs::remove_dir_all(directory.0).unwrap();
    }
}
