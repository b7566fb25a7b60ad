//! TCP ports for servers of parallel tests.
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::Context as _;

/// Where ports are taken from: below those that the kernel gives to outgoing connections (32768 and up) and those of
/// Kubernetes' Services (30000 and up), so that a port stays free while its server is down.
const PORTS: std::ops::Range<u16> = 12_000..30_000;
/// How far apart processes that start one after another begin to look. Coprime to the number of ports.
const STRIDE: u32 = 7919;

/// A TCP port of 127.0.0.1 that no other process of these tests takes while this is held.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// UDP ports are numbered like TCP ones, and nothing here speaks UDP: whoever holds the one owns the other.
    _reservation: UdpSocket,
}

impl Port {
    /// A port that is free now.
    pub fn reserve() -> anyhow::Result<Self> {
        let count = u32::from(PORTS.end - PORTS.start);
        let first = std::process::id().wrapping_mul(STRIDE) % count;
        let candidates = (0..count).filter_map(|i| u16::try_from((first + i) % count).ok());
        candidates
            .map(|offset| PORTS.start + offset)
            .find_map(Self::of_number)
            .context("no free port in 127.0.0.1:12000-29999")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn of_number(number: u16) -> Option<Self> {
        let address = (Ipv4Addr::LOCALHOST, number);
        let reservation = UdpSocket::bind(address).ok()?;
        TcpListener::bind(address).ok()?;
        Some(Self { number, _reservation: reservation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_held_by_one() {
        let held = Port::reserve().unwrap();
        assert!(Port::of_number(held.number()).is_none());
        assert_ne!(Port::reserve().unwrap().number(), held.number());
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(Port::of_number(listener.local_addr().unwrap().port()).is_none());
    }
}
