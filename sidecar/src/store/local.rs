//! A store that keeps nothing, for the parts of a cut that run beside each other on one machine: every claim holds,
//! every frame counts as stored, and each part is where a fixed directory says. There are no handovers without a store
//! that outlives its owner, so those are refused.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::thread;

use super::{OwnerEntry, Ownership, StoreCommand, StoreEvent, StoreHandle};

/// Starts the store of one part. `directory` says where each part takes links.
pub fn local(
    directory: HashMap<String, String>,
    sink: impl Fn(StoreEvent) + Send + 'static,
) -> std::io::Result<StoreHandle> {
    let (commands, inbox) = channel();
    thread::Builder::new().name("anf-store-local".into()).spawn(move || {
        let mut owner = None;
        while let Ok(command) = inbox.recv() {
            if let Some(event) = answer(&directory, &mut owner, command) {
                sink(event);
            }
        }
    })?;
    Ok(StoreHandle::new(commands.clone(), commands))
}

fn answer(
    directory: &HashMap<String, String>,
    owner: &mut Option<Ownership>,
    command: StoreCommand,
) -> Option<StoreEvent> {
    Some(match command {
        StoreCommand::Claim { epoch, entry } => {
            *owner = Some(Ownership { epoch, last_frame: 0, entry });
            StoreEvent::Claimed { epoch, last_frame: 0 }
        }
        StoreCommand::ReadOwner => StoreEvent::Owner(owner.clone()),
        StoreCommand::Append { number, .. } => StoreEvent::Appended { number },
        StoreCommand::Seal { .. } => {
            StoreEvent::SealNotSent { reason: "parts that run beside each other cannot be moved".to_owned() }
        }
        StoreCommand::SnapshotDone { base, .. } => StoreEvent::SnapshotStored { base },
        StoreCommand::Lookup { peer } => {
            let ownership = directory.get(&peer).map(|address| Ownership {
                epoch: 1,
                last_frame: 0,
                entry: OwnerEntry { owner: peer.clone(), address: address.clone(), node: String::new() },
            });
            StoreEvent::Directory { peer, ownership }
        }
        StoreCommand::SnapshotBlob { .. } | StoreCommand::Follow { .. } | StoreCommand::Unfollow => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    fn store() -> (StoreHandle, Receiver<StoreEvent>) {
        let (events, answers) = channel();
        let directory = HashMap::from([("b".to_owned(), "unix:/b".to_owned())]);
        let store = local(directory, move |event| drop(events.send(event))).unwrap();
        (store, answers)
    }

    #[test]
    fn claims_hold_frames_count_as_stored_and_parts_are_where_the_directory_says() {
        let (store, answers) = store();
        let ask = |command| {
            store.send(command);
            answers.recv_timeout(Duration::from_secs(10)).unwrap()
        };
        let me = OwnerEntry { owner: "a".into(), address: "unix:/a".into(), node: String::new() };
        assert_eq!(ask(StoreCommand::ReadOwner), StoreEvent::Owner(None));
        let claim = StoreCommand::Claim { epoch: 1, entry: me.clone() };
        assert_eq!(ask(claim), StoreEvent::Claimed { epoch: 1, last_frame: 0 });
        let append = StoreCommand::Append { epoch: 1, number: 7, frame: bytes::Bytes::new() };
        assert_eq!(ask(append), StoreEvent::Appended { number: 7 });
        let StoreEvent::Owner(Some(owner)) = ask(StoreCommand::ReadOwner) else { panic!("no owner") };
        assert_eq!((owner.epoch, owner.entry), (1, me));
        let StoreEvent::Directory { ownership: Some(found), .. } =
            ask(StoreCommand::Lookup { peer: "b".into() })
        else {
            panic!("not in the directory")
        };
        assert_eq!(found.entry.address, "unix:/b");
        let nobody = StoreEvent::Directory { peer: "c".into(), ownership: None };
        assert_eq!(ask(StoreCommand::Lookup { peer: "c".into() }), nobody);
    }
}
