//! Connections of any kind of client: the accept loop, TLS, HTTP/1.1 and HTTP/2.

mod arrived;
mod cipher;
mod crowd;
mod ending;
mod exchange;
mod listener;
mod multiplex;
mod socket;
mod steady;
mod tls;
mod tunnel;

pub use arrived::Arrived;
pub use cipher::Cipher;
pub use ending::Ending;
pub use exchange::{HttpLimits, RequestStream};
pub use listener::{Door, Listener, bind, serve};
pub use multiplex::Offer;
pub use socket::Socket;
pub use tls::{Acceptor, TlsFiles};
pub use tunnel::Tunnel;
