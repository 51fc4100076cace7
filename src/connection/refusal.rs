//! A refused handshake whose answer goes over the WebSocket, for clients that cannot read an HTTP answer's headers.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Connections, viewer_stream::ViewerStream};
use crate::protocol::{self, Close, ReconnectReason};

/// The time that the frames may take, and then the client's close.
const DEADLINE: Duration = Duration::from_secs(1);
/// The bytes of both frames that are written at once.
const WRITE_BYTES: usize = 512;
/// The bytes that are read at once: a close frame is expected.
const READ_BYTES: usize = 128;
/// The longest message of the client that is read, and ignored.
const MESSAGE_BYTES: usize = 1_024;
/// The number of the client's messages that are read, its close among them.
const MESSAGES: usize = 16;

impl Connections {
    /// Tells a client on its open WebSocket to come again after `wait` and not sooner, and closes it.
    ///
    /// Ends within two seconds, whatever the client does: one for the client's close, and one for the end of the
    /// connection.
    pub async fn refuse(self, mut stream: ViewerStream, early: Vec<u8>, wait: Duration) {
        stream.retire();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let frames =
            WebSocketStream::from_partially_read(&mut stream, early, Role::Server, Some(config)).await;
        if let Ok(Err(error)) = timeout(DEADLINE, close(frames, wait)).await {
            tracing::debug!(%error, "a refused client was gone");
            return;
        }
        let close = Close::NotAccepting;
        self.0.sli.closed(close.code(), close.reason());
        // Lingers for a moment, so that no reset overtakes the frames.
        let _ = timeout(DEADLINE, stream.shutdown()).await;
    }
}

/// Sends both frames, and reads until the client closes as well.
async fn close(mut frames: WebSocketStream<&mut ViewerStream>, wait: Duration) -> Result<(), Error> {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let reconnect = protocol::reconnect(wait_ms, ReconnectReason::NotAccepting).payload();
    frames.feed(Message::Text(Utf8Bytes::try_from(reconnect)?)).await?;
    let close = Close::NotAccepting;
    let frame = CloseFrame { code: CloseCode::from(close.code()), reason: close.reason().into() };
    frames.close(Some(frame)).await?;
    // The client may have sent something before it read them.
    for _ in 0..MESSAGES {
        if !matches!(frames.next().await, Some(Ok(_))) {
            break;
        }
    }
    Ok(())
}
