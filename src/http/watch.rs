//! `/v1/streams/{stream}/watch`: the handshake of a viewer (RFC 6455 section 4.2; over HTTP/2, RFC 8441 section 5).

use axum::{
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request},
};
use futures_util::{FutureExt as _, future::OptionFuture};
use serde::Deserialize;

use super::{
    Api, Problem, auth,
    extract::{Params, StreamPath},
    handover::{Handover, handed_over},
    refusal::RefusedHandshake,
};
use crate::{
    connection::{self, After, Connections},
    domain::{EntryId, Viewer},
    identity::{BadSecret, SessionSecret, VerifiedToken},
    net::{Offer, PeerInfo},
    protocol::SUBPROTOCOL,
};

#[derive(Debug, Deserialize)]
struct Query {
    after: Option<String>,
    name: Option<String>,
    session: Option<String>,
    token: Option<String>,
}

/// Makes a viewer of whoever asks properly.
pub(super) async fn watch(State(api): State<Api>, request: Request) -> Result<Response<Body>, Problem> {
    let (mut parts, _) = request.into_parts();
    // A router's `get` also takes HEAD; a handshake is a GET (RFC 6455 section 4.1), or a CONNECT over HTTP/2.
    let is_http2 = parts.version == Version::HTTP_2;
    if parts.method != Method::GET && !(is_http2 && parts.method == Method::CONNECT) {
        return Err(Problem::only_get());
    }
    let StreamPath(stream) = StreamPath::from_request_parts(&mut parts, &api).await?;
    let Params(query) = Params::<Query>::from_request_parts(&mut parts, &api).await?;
    let peer_info = parts.extensions.get::<PeerInfo>().copied();
    let answer = if is_http2 {
        check_connect(&parts)?;
        connected(&parts.headers)
    } else {
        let may_lack_key = peer_info.is_some_and(|peer_info| api.0.proxies.trust(peer_info.peer));
        switching(check_handshake(parts.version, &parts.headers, may_lack_key)?, &parts.headers)
    };
    if !api.0.origins.allow(&parts.headers) {
        return Err(Problem::forbidden("pages of this origin may not watch"));
    }
    let handover = Handover::of(&mut parts)
        .ok_or_else(|| Problem::upgrade_required("this connection cannot be upgraded"))?;

    let (session, secret, verified) = if api.0.identity.is_open() {
        open_pass(query.name.as_deref(), query.session.as_deref())?
    } else {
        let verified = auth::verified(&parts.headers, query.token.as_deref(), &api.0.identity)?;
        (EntryId::random(), None, verified)
    };
    auth::may_watch(verified.viewer(), &stream)?;
    let after = match query.after.as_deref() {
        None | Some("") => After::Nothing,
        Some(after) => after.parse().map_or(After::Unknown, After::Place),
    };
    let keys = api.0.limits.keys(&verified.viewer().author.id, api.address_of(&parts), &stream);
    api.0.limits.join(&keys).map_err(Problem::joins_too_often)?;
    tracing::debug!(%stream, version = ?parts.version, "a viewer's handshake was accepted");
    let request = Box::new(connection::Request { stream, verified, keys, session, secret, after });

    // Before the 101: a drain that begins now waits for this viewer too.
    let place = api.0.tasks.place();
    let descriptor = peer_info.map_or(0, |peer_info| peer_info.descriptor);
    let connections = api.0.connections.clone();
    if let Err(refused) = api.0.gate.admit(api.0.tasks.sockets(), descriptor) {
        drop(place);
        let handshake = RefusedHandshake { refused, handover, answer };
        return api.0.socket_refusals.answer(handshake, connections, &api.0.tasks);
    }
    api.0.tasks.socket(place, hand_over(handover, connections, request));
    Ok(answer)
}

/// The session, and a guest's secret of it, beside the token.
type OpenToken = (EntryId, Option<SessionSecret>, VerifiedToken);

/// The stand-in for a token where there are no keys. A viewer without a name is a guest, who shows the secret of an earlier socket's session
/// to be the same one.
fn open_pass(name: Option<&str>, secret: Option<&str>) -> Result<OpenToken, Problem> {
    let name = name.filter(|name| !name.is_empty());
    let secret = match secret.filter(|secret| name.is_none() && !secret.is_empty()) {
        Some(secret) => Some(secret.parse().map_err(|bad: BadSecret| Problem::bad_request(bad.to_string()))?),
        None => name.is_none().then(SessionSecret::random),
    };
    let session = secret.as_ref().map_or_else(EntryId::random, SessionSecret::session);
    let viewer = Viewer::open(name, session.as_str()).map_err(|_| {
        Problem::bad_request(
            "name must be 1 to 64 visible characters in 128 bytes, without control characters",
        )
    })?;
    Ok((session, secret, VerifiedToken::open(viewer)))
}

/// A viewer's task.
fn hand_over(
    handover: Handover,
    connections: Connections,
    request: Box<connection::Request>,
) -> impl Future<Output = ()> + Send {
    let serve = |(stream, early)| connections.serve(stream, early, request);
    handed_over(handover).then(|upgraded| OptionFuture::from(upgraded.and_then(serve))).map(drop)
}

/// Checks the handshake; returns the value of `Sec-WebSocket-Accept`.
///
/// A WebSocket over HTTP/2 has no key (RFC 8441 section 5), and a proxy that makes HTTP/1.1 of it may add none, as Envoy
/// does: such a handshake has no such value either.
fn check_handshake(
    version: Version,
    headers: &HeaderMap,
    may_lack_key: bool,
) -> Result<Option<HeaderValue>, Problem> {
    if version != Version::HTTP_11 {
        return Err(Problem::bad_request("a WebSocket handshake is HTTP/1.1"));
    }
    if only(headers, header::HOST).is_none() {
        return Err(Problem::bad_request("a WebSocket handshake has one Host"));
    }
    if has_body(headers) {
        return Err(Problem::bad_request("a WebSocket handshake has no body"));
    }
    let upgrades =
        has_token(headers, header::UPGRADE, "websocket") && has_token(headers, header::CONNECTION, "upgrade");
    if !upgrades {
        let detail = "this is a WebSocket: send Upgrade: websocket and Connection: Upgrade";
        return Err(Problem::upgrade_required(detail));
    }
    check_version(headers)?;
    if may_lack_key && !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return Ok(None);
    }
    let key = only(headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::try_from(connection::accept_key(key.as_bytes())).ok());
    accept
        .map(Some)
        .ok_or_else(|| Problem::bad_request("Sec-WebSocket-Key must be one value, base64 of 16 bytes"))
}

/// Checks the handshake of a WebSocket over HTTP/2.
fn check_connect(request: &request::Parts) -> Result<(), Problem> {
    if request.extensions.get::<Offer>().is_none() {
        let detail = "over HTTP/2 a WebSocket is a CONNECT whose :protocol is websocket (RFC 8441)";
        return Err(Problem::bad_request(detail));
    }
    if has_body(&request.headers) {
        return Err(Problem::bad_request("a WebSocket handshake has no body"));
    }
    check_version(&request.headers)
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    if only(headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Err(Problem::upgrade_required("the WebSocket version must be 13"));
    }
    Ok(())
}

/// Whether bytes follow the head that are no frames.
fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// Base64 of 16 bytes: 22 characters and two equals signs.
fn is_key(key: &[u8]) -> bool {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(in_alphabet)
}

fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(token))
}

fn switching(accept: Option<HeaderValue>, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(accept) = accept {
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    choose_subprotocol(headers, answer);
    response
}

/// The answer to a CONNECT.
fn connected(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    choose_subprotocol(headers, response.headers_mut());
    response
}

fn choose_subprotocol(headers: &HeaderMap, answer: &mut HeaderMap) {
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every viewer holds one for as long as it watches: what only the beginning or the end needs stands in boxes.
    #[test]
    fn a_viewers_task_is_small() {
        fn bytes<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes(hand_over);
        assert!((500..=TASK_BYTES).contains(&bytes), "{bytes} bytes");
    }

    /// tokio adds 112 bytes and allocates multiples of 128: this is 11 of them.
    const TASK_BYTES: usize = 11 * 128 - 112;
}
