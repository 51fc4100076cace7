//! What the room must know.

use std::{path::PathBuf, time::Duration};

/// How long a token lives at the most, unless the settings say otherwise.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// The least that [`IdentitySettings::lifetime`] may be: a viewer is warned in the last fifth of its token's life, and has to fetch
/// another token in that time.
pub const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// Where keys are, and what tokens have to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// File with the keys that viewers' tokens are signed with.
    pub viewer_keys: Option<PathBuf>,
    /// File with the keys of services.
    pub service_keys: Option<PathBuf>,
    /// The `iss` that every token must have; none: any, or none.
    pub issuer: Option<String>,
    /// The `aud` that every token must have; none: tokens must have none.
    pub audience: Option<String>,
    /// The longest time for which a token counts from its `iat`.
    pub lifetime: Duration,
}

impl IdentitySettings {
    /// No keys.
    pub const OPEN: Self = Self {
        viewer_keys: None,
        service_keys: None,
        issuer: None,
        audience: None,
        lifetime: DEFAULT_LIFETIME,
    };

    /// Whether there are no keys at all.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.viewer_keys.is_none() && self.service_keys.is_none()
    }
}
