//! An address that swallows packets.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

/// The most connections that a queue of length 0 holds, by any kernel's reckoning.
const MOST: usize = 8;
/// How long the kernel may take to let a connection in through the loopback device.
const LET_IN: Duration = Duration::from_secs(1);

/// An address of 127.0.0.1 that answers nobody: the queue of its listener is full, so that the kernel drops each SYN.
pub struct Silent {
    /// Where clients wait in vain.
    pub address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl Silent {
    /// Fills the queue of a new listener.
    pub fn listen() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        for _ in 0..MOST {
            match TcpStream::connect_timeout(&address, LET_IN) {
                Ok(connection) => queue.push(connection),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    return Self { address, _listener: listener, _queue: queue };
                }
            }
        }
        panic!("a queue of length 0 held {MOST} connections");
    }
}
