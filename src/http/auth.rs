//! Who calls: the token or key that a request shows.

use std::net::IpAddr;

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap,
        header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
        request::Parts,
    },
};

use super::{Api, Problem};
use crate::{
    domain::{Poster, Refusal, Right, Service, StreamId, Viewer},
    identity::{Identity, VerifiedToken},
    limits::{PostCharge, TooOften},
};

/// What stands before a token in an entry of `Sec-WebSocket-Protocol`.
const BEARER_ENTRY: &str = "bearer.";
/// The name of the scheme in `Authorization` (RFC 6750 section 2.1).
const BEARER_SCHEME: &str = "Bearer";

/// Whoever calls a REST route: a service by its key, or a viewer by its token.
pub(super) enum Caller {
    Service(Service),
    Viewer(VerifiedToken, IpAddr),
}

/// A service, by its key.
pub(super) struct Backend(pub(super) Service);

impl Caller {
    /// As whom the caller posts.
    pub(super) fn poster(&self) -> Poster<'_> {
        match self {
            Self::Service(service) => Poster::Service(service),
            Self::Viewer(verified, _) => Poster::Viewer(verified.viewer()),
        }
    }

    /// Reading is for whoever may watch.
    pub(super) fn may_read(&self, stream: &StreamId) -> Result<(), Problem> {
        match self {
            Self::Service(service) => may_see(service, stream),
            Self::Viewer(verified, _) => may_watch(verified.viewer(), stream),
        }
    }

    /// Counts a post of the caller's in a stream.
    pub(super) fn may_post(&self, api: &Api, stream: &StreamId) -> Result<(), Problem> {
        match self {
            Self::Service(service) => may_post(api, service),
            Self::Viewer(verified, address) => {
                let keys = api.0.limits.keys(&verified.viewer().author.id, *address, stream);
                counted(api, api.0.limits.post(&keys, None))
            }
        }
    }

    /// Gives back what an answered post of the caller does not count for.
    pub(super) fn settle(&self, api: &Api, stream: &StreamId, charge: PostCharge) {
        let limits = &api.0.limits;
        match self {
            Self::Service(service) => limits.settle_of_service(&service.name, charge),
            Self::Viewer(verified, address) => {
                limits.settle(&limits.keys(&verified.viewer().author.id, *address, stream), None, charge);
            }
        }
    }

    fn of(parts: &Parts, api: &Api) -> Result<Self, Problem> {
        let (headers, identity) = (&parts.headers, &api.0.identity);
        if identity.is_open() {
            return Ok(Self::Service(Service::open()));
        }
        let credential =
            authorization(headers)?.ok_or_else(|| Problem::bad_token("a key or token is missing"))?;
        match identity.service(credential.as_bytes()) {
            Some(service) => Ok(Self::Service(service)),
            // Whatever has no dot was meant as a key, and nothing is said about keys.
            None if !credential.contains('.') => Err(Problem::bad_token("this is no key")),
            None => Ok(Self::Viewer(identity.check(credential)?, api.address_of(parts))),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Self::of(parts, api)
    }
}

impl Backend {
    /// A key that is not for a stream learns nothing of it.
    pub(super) fn may_see(&self, stream: &StreamId) -> Result<(), Problem> {
        may_see(&self.0, stream)
    }
}

impl FromRequestParts<Api> for Backend {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Caller::of(parts, api)? {
            Caller::Service(service) => Ok(Self(service)),
            Caller::Viewer(..) => Err(Problem::not_allowed("only a service may call this")),
        }
    }
}

/// Counts a post of a service.
pub(super) fn may_post(api: &Api, service: &Service) -> Result<(), Problem> {
    counted(api, api.0.limits.post_of_service(&service.name))
}

fn counted(api: &Api, may: Result<(), TooOften>) -> Result<(), Problem> {
    may.map_err(|too_often| {
        api.0.posting.count_refused();
        Refusal::from(too_often).into()
    })
}

fn may_see(service: &Service, stream: &StreamId) -> Result<(), Problem> {
    if service.streams.allow(stream) {
        Ok(())
    } else {
        Err(Problem::not_allowed("this key is not for this stream"))
    }
}

/// Whether a viewer may watch a stream.
pub(super) fn may_watch(viewer: &Viewer, stream: &StreamId) -> Result<(), Problem> {
    if !viewer.streams.allow(stream) {
        return Err(Problem::not_allowed("the token is not for this stream"));
    }
    if !viewer.rights.have(Right::Watch) {
        return Err(Problem::not_allowed("the token does not allow to watch"));
    }
    Ok(())
}

/// The verified token of a viewer's handshake, which comes in one of three ways.
///
/// # Errors
/// None came, or several did: which of them counts would be a guess.
pub(super) fn verified(
    headers: &HeaderMap,
    query: Option<&str>,
    identity: &Identity,
) -> Result<VerifiedToken, Problem> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let entries = offered.flat_map(|value| value.split(',')).map(str::trim);
    let by_entry = entries.filter_map(|entry| entry.strip_prefix(BEARER_ENTRY));
    let mut tokens =
        authorization(headers)?.into_iter().chain(by_entry).chain(query.filter(|token| !token.is_empty()));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(identity.check(token)?),
        (Some(_), Some(_)) => Err(Problem::bad_request("there is more than one token")),
        (None, _) => Err(Problem::bad_token("a token is missing")),
    }
}

/// The credential of `Authorization`, if it is there. That of another scheme is for somebody else, such as a proxy that asks
/// for a password (RFC 9110 section 11.6.2).
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("Authorization must be one value"));
    }
    let text = value.to_str().unwrap_or_default();
    let (scheme, credential) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.is_empty() && !scheme.eq_ignore_ascii_case(BEARER_SCHEME) {
        return Ok(None);
    }
    // One or more spaces (RFC 9110 section 11.4).
    let credential = credential.trim_matches(' ');
    if credential.is_empty() {
        return Err(Problem::bad_token("Authorization must be Bearer, and a key or token"));
    }
    Ok(Some(credential))
}
