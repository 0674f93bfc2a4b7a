//! Binds the device names of the Click text to what `spec.ports` says.

use std::io;
use std::net::Ipv4Addr;

use crate::device::{DeviceKind, DeviceRequest};
use crate::engine::Opener;
use crate::manifest::{Port, PortBinding};

/// Opens the devices of a part.
pub(super) fn opener(ports: Vec<Port>) -> Opener {
    Box::new(move |request: &DeviceRequest| {
        let Some(port) = ports.iter().find(|port| port.name == request.name) else {
            let text =
                format!("no port is bound to the device name \"{}\"; add it to spec.ports", request.name);
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let bound = bound(port, request);
        crate::device::open(&bound).map_err(|error| {
            io::Error::new(error.kind(), format!("port bound to \"{}\": {error}", bound.name))
        })
    })
}

fn bound(port: &Port, request: &DeviceRequest) -> DeviceRequest {
    match &port.binding {
        PortBinding::Node { interface } | PortBinding::Pod { interface } => {
            DeviceRequest { name: interface.clone(), ..request.clone() }
        }
        PortBinding::Tun { addresses } => match addresses.first().and_then(|text| address_and_mask(text)) {
            Some((address, mask)) => DeviceRequest {
                kind: DeviceKind::Tun { address: Some((address, mask)), mtu: 1500 },
                ..request.clone()
            },
            None => request.clone(),
        },
    }
}

fn address_and_mask(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Some((address.parse().ok()?, Ipv4Addr::from(mask)))
}
