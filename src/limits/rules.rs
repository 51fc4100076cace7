//! The limits as they are configured.

use serde::Deserialize;

use crate::domain::{object, optional_object, read_object};

/// So many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many a second, from 0.001 to 1,000,000.
    pub per_second: f64,
    /// How many at once after a pause, from 1 to 1,000,000.
    pub burst: u32,
}

/// Limits of frames that come over WebSockets; each is counted, whatever it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameRules {
    /// Of one socket.
    #[serde(deserialize_with = "optional_object")]
    pub viewer: Option<Rate>,
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
}

/// Limits of posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostRules {
    /// Of one socket.
    #[serde(deserialize_with = "optional_object")]
    pub viewer: Option<Rate>,
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
    /// Of all viewers together in one stream, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub stream: Option<Rate>,
    /// Of one service, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub service: Option<Rate>,
}

/// Limits of handshakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinRules {
    /// Of one user, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub user: Option<Rate>,
    /// Of one client address, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub address: Option<Rate>,
    /// Of one stream, on this pod.
    #[serde(deserialize_with = "optional_object")]
    pub stream: Option<Rate>,
}

/// Every limit; what is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitRules {
    /// Of frames.
    #[serde(deserialize_with = "object")]
    pub frames: FrameRules,
    /// Of posts.
    #[serde(deserialize_with = "object")]
    pub posts: PostRules,
    /// Of handshakes.
    #[serde(deserialize_with = "object")]
    pub joins: JoinRules,
}

impl LimitRules {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let rules: Self = read_object(text.as_bytes()).map_err(|error| error.to_string())?;
        let Self { frames, posts, joins } = &rules;
        let of_frames = [frames.viewer, frames.user, frames.address];
        let of_posts = [posts.viewer, posts.user, posts.address, posts.stream, posts.service];
        let of_joins = [joins.user, joins.address, joins.stream];
        for rate in [&of_frames[..], &of_posts, &of_joins].concat().into_iter().flatten() {
            let Rate { per_second, burst } = rate;
            if !(0.001..=1e6).contains(&per_second) || !(1..=1_000_000).contains(&burst) {
                return Err(format!(
                    "per_second {per_second} must be 0.001 to 1000000, and burst {burst} 1 to 1000000"
                ));
            }
        }
        Ok(rules)
    }
}
