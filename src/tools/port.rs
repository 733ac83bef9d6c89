//! TCP ports of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// Whether nobody listens on `port` of 127.0.0.1, of ::1 where there is IPv6, or of all addresses: found out by listening there for a
/// moment.
///
/// # Errors
/// If that could not be found out.
pub fn is_free(port: u16) -> io::Result<bool> {
    Ok(is_free_at(Ipv4Addr::LOCALHOST.into(), port)?.unwrap_or(false)
        && is_free_at(Ipv6Addr::LOCALHOST.into(), port)?.unwrap_or(true))
}

/// `None`: this machine has no such address.
fn is_free_at(address: IpAddr, port: u16) -> io::Result<Option<bool>> {
    match TcpListener::bind((address, port)) {
        Ok(_listener) => Ok(Some(true)),
        Err(e) => match e.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Ok(Some(false)),
            io::ErrorKind::AddrNotAvailable => Ok(None),
            _ if e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => Ok(None),
            _ => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_until_somebody_listens_there() {
        let addresses: [IpAddr; 4] = [
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv6Addr::UNSPECIFIED.into(),
        ];
        for address in addresses {
            let listener = match TcpListener::bind((address, 0)) {
                Ok(listener) => listener,
                Err(error) if address.is_ipv6() => {
                    eprintln!("SKIPPED, for there is no IPv6 here: {error}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port).unwrap(), "{address}");
            drop(listener);
            assert!(is_free(port).unwrap(), "{address}");
        }
    }
}
