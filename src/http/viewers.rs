//! `/v1/viewers/{author}`: a user's tokens.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};

use super::{Api, Problem, auth::Backend, extract::NoParams};

/// The longest id of a user, in bytes, as of every author.
const MAX_USER_BYTES: usize = 128;

/// The user that the path names.
pub(super) struct User(String);

impl FromRequestParts<Api> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let form = "a user in the path is 1 to 128 bytes of UTF-8 without control characters";
        let bad = || Problem::bad_request(form);
        let Path(user) = Path::<String>::from_request_parts(parts, api).await.map_err(|_| bad())?;
        let is_good = !user.is_empty() && user.len() <= MAX_USER_BYTES && !user.chars().any(char::is_control);
        if is_good { Ok(Self(user)) } else { Err(bad()) }
    }
}

/// Closes the user's sockets on every pod, and refuses the tokens that were issued until now.
pub(super) async fn revoke(
    State(api): State<Api>,
    Backend(service): Backend,
    (User(user), NoParams): (User, NoParams),
) -> Result<StatusCode, Problem> {
    // A user is in no stream: who is to keep some of them in order must not end a user's sockets in the others.
    if !service.streams.are_all() {
        return Err(Problem::not_allowed("this key is not for all streams"));
    }
    let keep = Duration::from_millis(api.0.identity.revocations_kept_ms());
    api.0.shards.revoke(&user, keep).await?;
    tracing::info!(service = service.name, "a user's tokens were revoked");
    Ok(StatusCode::NO_CONTENT)
}
