//! TCP ports of this machine.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Whether nobody listens on `port` of 127.0.0.1, or of all addresses: found out by listening there for a moment.
///
/// # Errors
/// If that could not be found out.
pub fn is_free(port: u16) -> io::Result<bool> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => {
            drop(listener);
            Ok(true)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_until_somebody_listens_there() {
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port).unwrap(), "{address}");
            drop(listener);
            assert!(is_free(port).unwrap(), "{address}");
        }
    }
}
