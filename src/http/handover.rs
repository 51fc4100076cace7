//! The handover of a connection, or of a stream of one, from HTTP to the WebSocket.

use std::time::Duration;

use axum::http::request;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    connection::ViewerStream,
    net::{Offer, RequestStream, Tunnel},
};

/// How long the connection may take to be handed over after the answer.
const HANDOVER_DEADLINE: Duration = Duration::from_secs(5);

/// The way from a handshake's request to the viewer's socket, once the answer is sent.
pub(super) enum Handover {
    /// Of an HTTP/1.1 connection.
    Upgrade(OnUpgrade),
    /// Of a stream of an HTTP/2 connection.
    Stream(oneshot::Receiver<Box<Tunnel>>),
}

impl Handover {
    pub(super) fn of(request: &mut request::Parts) -> Option<Self> {
        match request.extensions.remove::<Offer>() {
            Some(offer) => offer.take().map(Self::Stream),
            None => request.extensions.remove::<OnUpgrade>().map(Self::Upgrade),
        }
    }
}

/// The viewer's socket and what the viewer sent behind its handshake.
pub(super) async fn handed_over(handover: Handover) -> Option<(ViewerStream, Vec<u8>)> {
    match handover {
        Handover::Upgrade(upgrade) => {
            let upgraded = timeout(HANDOVER_DEADLINE, upgrade).await.ok()?.ok()?;
            let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<RequestStream>>().ok()?;
            // A copy: the buffer of 8 KiB behind it would live as long as the viewer.
            Some((ViewerStream::Socket(io.into_inner().into_socket()), read_buf.to_vec()))
        }
        Handover::Stream(tunnel) => {
            let tunnel = timeout(HANDOVER_DEADLINE, tunnel).await.ok()?.ok()?;
            Some((ViewerStream::Tunnel(tunnel), Vec::new()))
        }
    }
}
