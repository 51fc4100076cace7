//! Connections of any kind of client: the accept loop, TLS, HTTP/1.1 and HTTP/2.

mod cipher;
mod crowd;
mod ending;
mod exchange;
mod listener;
mod multiplex;
mod peer;
mod socket;
mod steady;
mod tls;
mod tunnel;

pub use cipher::Cipher;
pub use ending::Ending;
pub use exchange::{HttpLimits, RequestStream};
pub use listener::{Listener, ListenerConfig, bind, serve};
pub use multiplex::Offer;
pub use peer::PeerInfo;
pub use socket::Socket;
pub use tls::{Acceptor, TlsFiles};
pub use tunnel::Tunnel;
