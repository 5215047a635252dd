//! A TCP port that is ours from its choice until the instance ends.
//!
//! The usual way, to bind port 0, close it and pass the number on, races with everybody else who needs a port, and
//! again whenever the API server restarts. Here the supervisor keeps a socket bound to the port, with SO_REUSEPORT and
//! never listening, and the API server binds it too (`--permit-port-sharing`). The kernel lets only sockets of the same
//! user share a port, never chooses a bound port for anybody, and delivers connections only to listening sockets.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

use crate::Error;

/// A port on 127.0.0.1, held while this value lives.
pub(crate) struct Reservation {
    _socket: OwnedFd,
    port: u16,
}

impl Reservation {
    /// Reserves a free port.
    pub(crate) fn new() -> Result<Self, Error> {
        let socket = reserve().map_err(Error::system("reserve a port"))?;
        let address =
            getsockname(&socket).and_then(SocketAddr::try_from).map_err(Error::system("read the reserved port"))?;
        Ok(Self { _socket: socket, port: address.port() })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn reserve() -> rustix::io::Result<OwnedFd> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // `socket_with(CLOEXEC)` is not portable, and the servers must not inherit the socket.
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_is_neither_taken_nor_open() {
        let reservation = Reservation::new().unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, reservation.port())).is_err());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, reservation.port())).is_err());
    }
}
