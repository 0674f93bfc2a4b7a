//! Binds the device names of the Click text to what `spec.ports` says.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use crate::device::{Device, DeviceKind, DeviceRequest, Sent, TunSpec};
use crate::engine::{Opener, Time};
use crate::manifest::{Port, PortBinding};
use crate::packet::Batch;

/// Opens the devices of a part.
pub(super) fn opener(ports: Vec<Port>) -> Opener {
    Box::new(move |request: &DeviceRequest| {
        if let DeviceKind::Socket(_) = request.kind {
            let text = "a pod opens no sockets of its own: connect sub-functions by edges, and networks by spec.ports";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let Some(port) = ports.iter().find(|port| port.name == request.name) else {
            let text =
                format!("no port is bound to the device name \"{}\"; add it to spec.ports", request.name);
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let asked = bound(port, request);
        let device = crate::device::open(&asked).map_err(|error| {
            io::Error::new(error.kind(), format!("port bound to \"{}\": {error}", asked.name))
        })?;
        Ok(Box::new(BoundDevice { port: port.clone(), device }) as Box<dyn Device>)
    })
}

/// A device for which the port says what elements may not.
struct BoundDevice {
    port: Port,
    device: Box<dyn Device>,
}

impl Device for BoundDevice {
    fn receive(&mut self, batch: &mut Batch, now: Time) -> io::Result<usize> {
        self.device.receive(batch, now)
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<Sent> {
        self.device.send(batch)
    }

    fn also(&mut self, request: &DeviceRequest) -> io::Result<()> {
        self.device.also(&bound(&self.port, request))
    }

    fn name(&self) -> Option<&str> {
        self.device.name()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.device.fd()
    }
}

fn bound(port: &Port, request: &DeviceRequest) -> DeviceRequest {
    match &port.binding {
        PortBinding::Node { interface } | PortBinding::Pod { interface } => {
            DeviceRequest { name: interface.clone(), ..request.clone() }
        }
        PortBinding::Tun { addresses } => match addresses.first().and_then(|text| address_and_mask(text)) {
            Some(address) => {
                // What the element says of the tunnel stands; where it is bound to is the function's business.
                let asked = match &request.kind {
                    DeviceKind::Tun(spec) => spec.clone(),
                    _ => TunSpec { longest: 1500, ..TunSpec::default() },
                };
                let spec = TunSpec { address: Some(address), gateway: None, ..asked };
                DeviceRequest { kind: DeviceKind::Tun(spec), ..request.clone() }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Direction;

    #[test]
    fn a_tunnel_s_address_is_the_port_s_and_the_rest_the_element_s() {
        let spec = TunSpec {
            ethernet: true,
            address: Some((Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::BROADCAST)),
            gateway: Some(Ipv4Addr::new(9, 9, 9, 1)),
            mtu: Some(1400),
            longest: 1400,
            ..TunSpec::default()
        };
        let request = DeviceRequest {
            name: "host".to_owned(),
            direction: Direction::Both,
            kind: DeviceKind::Tun(spec.clone()),
        };
        let binding = PortBinding::Tun { addresses: vec!["10.0.0.1/24".to_owned()] };
        let port = Port { name: "host".to_owned(), binding };
        let address = Some((Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(255, 255, 255, 0)));
        let expected = DeviceKind::Tun(TunSpec { address, gateway: None, ..spec });
        assert_eq!(bound(&port, &request), DeviceRequest { kind: expected, ..request });
    }
}
