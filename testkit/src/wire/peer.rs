//! A peer that sends whatever bytes it is told to, and hears what the server says to that.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    time::timeout,
};

use super::private::{self, Stream};
use crate::{PATIENCE, Pod, contract, opcode};

/// A connection to the public listener.
pub struct Peer {
    socket: Box<dyn Stream>,
    unread: Vec<u8>,
}

/// What a peer hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text frame.
    Text(String),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// A ping.
    Ping,
    /// A close frame; without a code it carried none.
    Close(Option<u16>, String),
    /// The end of the connection: an orderly one, or a cut.
    End,
}

impl Peer {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Self { socket: private::patiently(async || private::dial(address).await).await, unread: Vec::new() }
    }

    /// Connects with little room for what it does not read.
    pub async fn short_of_buffer(address: SocketAddr) -> Self {
        let dial = async || {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4_096)?;
            private::dial_from(socket, address).await
        };
        Self { socket: private::patiently(dial).await, unread: Vec::new() }
    }

    /// Sends bytes until the server has cut the connection, and reads nothing.
    pub async fn send_until_cut(&mut self, bytes: &[u8]) {
        while self.socket.write_all(bytes).await.is_ok() {}
    }

    /// Connects and becomes a viewer of the stream; what comes after the handshake is still to be heard.
    pub async fn watch(pod: &Pod, stream: &str) -> Self {
        let mut peer = Self::connect(pod.public).await;
        peer.send(Self::handshake(stream).as_bytes()).await;
        let head = peer.head().await.expect("an answer to the handshake");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    /// A proper handshake.
    pub fn handshake(stream: &str) -> String {
        format!(
            "GET {} HTTP/1.1\r\nhost: fanfare\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            Pod::watch_path(stream)
        )
    }

    /// Sends bytes, as far as the server takes them: it may have closed already.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        let _ = timeout(PATIENCE, sent).await.expect("the server reads or closes");
    }

    /// Reads an HTTP answer's head; none if the connection ends before.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.read_some().await {
                return None;
            }
        }
    }

    /// Reads so many bytes and forgets them, such as an answer's body.
    pub async fn skip(&mut self, bytes: usize) {
        while self.unread.len() < bytes && self.read_some().await {}
        self.unread.drain(..bytes.min(self.unread.len()));
    }

    /// Reads one frame.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some((opcode, payload)) = self.frame() {
                return match opcode {
                    opcode::TEXT => {
                        let text = String::from_utf8(payload).unwrap();
                        contract::frame(&serde_json::from_str(&text).unwrap());
                        Heard::Text(text)
                    }
                    opcode::PING => Heard::Ping,
                    opcode::PONG => Heard::Pong(payload),
                    opcode::CLOSE => {
                        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                        let reason =
                            String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                        code.iter().for_each(|code| contract::close(*code, &reason));
                        Heard::Close(code, reason)
                    }
                    other => panic!("the server sent a frame with opcode {other}"),
                };
            }
            if !self.read_some().await {
                return Heard::End;
            }
        }
    }

    /// Reads until the server closes, or until it says something for which `stop` is true.
    pub async fn hear_until(&mut self, stop: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.hear().await;
            if stop(&heard) || matches!(heard, Heard::Close(..) | Heard::End) {
                return heard;
            }
        }
    }

    /// A complete server frame from what was read: final and unmasked, as Fanfare sends them.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.unread.first()?, self.unread.get(1)?);
        assert_eq!(
            (first & 0xf0, second & 0x80),
            (0x80, 0),
            "not a final, unmasked frame without extensions"
        );
        let (header, length) = match second {
            126 => (4, u64::from(u16::from_be_bytes(self.unread.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.unread.get(2..10)?.try_into().unwrap())),
            short => (2, u64::from(short)),
        };
        let end = header + usize::try_from(length).unwrap();
        if self.unread.len() < end {
            return None;
        }
        let frame: Vec<u8> = self.unread.drain(..end).collect();
        Some((first & 0x0f, frame[header..].to_vec()))
    }

    /// Whether the connection ends within this time; what comes is kept.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        let ends = async { while self.read_some().await {} };
        timeout(time, ends).await.is_ok()
    }

    async fn read_some(&mut self) -> bool {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.unread)).await;
        read.expect("the server speaks or closes").is_ok_and(|count| count > 0)
    }
}
