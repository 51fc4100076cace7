//! Who somebody is: tokens of viewers, keys of services, and whose tokens no longer count.
//!
//! Only [`Identity::check`] makes a viewer's [`VerifiedToken`] of a token, and only [`Identity::service`] makes a
//! [`Service`] of a key. Both files of keys are read again when they change. A pod without keys is *open*: viewers are
//! whoever they say, and every backend is one service.

mod files;
mod guest;
mod jwk;
mod mint;
mod provider;
mod revocations;
mod services;
mod settings;
mod token;
mod verified_token;
mod verifier;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::domain::{Service, now_ms};
use revocations::Revocations;
use services::ServiceKeys;
use verified_token::ISSUER_AHEAD_MS;
use verifier::Verifier;

pub use guest::{BadSecret, SessionSecret};
pub use mint::{Grant, mint};
pub use settings::{DEFAULT_LIFETIME, IdentitySettings, LEAST_LIFETIME};
pub use token::{BadToken, MAX_TOKEN_BYTES};
pub use verified_token::VerifiedToken;

/// Knows the keys, and whose tokens were revoked. Cloning shares it.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    settings: IdentitySettings,
    /// Guards the keys for viewers' tokens; held while they are taken out, or exchanged for newer ones.
    viewers: RwLock<Arc<Verifier>>,
    /// Guards the keys of services, likewise.
    services: RwLock<Arc<ServiceKeys>>,
    revocations: Revocations,
}

impl Identity {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// Every fault, with its setting's name. None of them holds a key.
    pub fn load(settings: IdentitySettings) -> Result<Self, Vec<String>> {
        let (viewers, services) = files::read(&settings)?;
        Ok(Self(Arc::new(Inner {
            settings,
            viewers: RwLock::new(Arc::new(viewers)),
            services: RwLock::new(Arc::new(services)),
            revocations: Revocations::default(),
        })))
    }

    /// Whether there are no keys at all: then nobody needs any.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.settings.is_open()
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`BadToken`]: whoever sent it is nobody.
    pub fn check(&self, token: &str) -> Result<VerifiedToken, BadToken> {
        let verifier = Arc::clone(&self.0.viewers.read());
        let verified = verifier.check(token, now_ms())?;
        if self.0.revocations.concern(&verified) { Err(BadToken::Revoked) } else { Ok(verified) }
    }

    /// The service whose key this is.
    #[must_use]
    pub fn service(&self, key: &[u8]) -> Option<Service> {
        let services = Arc::clone(&self.0.services.read());
        services.find(key)
    }

    /// Records that a user's tokens up to a time no longer count; by this pod's clock, in milliseconds since the Unix
    /// epoch.
    pub fn revoke(&self, user: &str, at_ms: u64) {
        self.0.revocations.note(user, at_ms, now_ms().saturating_sub(self.revocations_kept_ms()));
    }

    /// Whether the token no longer counts because its user was revoked.
    #[must_use]
    pub fn is_revoked(&self, verified: &VerifiedToken) -> bool {
        self.0.revocations.concern(verified)
    }

    /// Returns once a user was revoked since the call: this one, or one of few others. Who waits asks
    /// [`Self::is_revoked`] after each call and each return.
    pub fn revocations_near<'a>(
        &'a self,
        verified: &VerifiedToken,
    ) -> impl Future<Output = ()> + Send + use<'a> {
        self.0.revocations.news(verified)
    }

    /// The time for which a revocation is kept, in milliseconds: until the last token that it concerns has expired, whose
    /// `iat` may be after the revocation.
    #[must_use]
    pub fn revocations_kept_ms(&self) -> u64 {
        let lifetime_ms = u64::try_from(self.0.settings.lifetime.as_millis()).unwrap_or(u64::MAX);
        lifetime_ms.saturating_add(ISSUER_AHEAD_MS)
    }

    /// Reads the files again for ever, whenever they change. What is wrong in a new one is logged, and the old keys stay.
    pub async fn keep_up(self) {
        files::keep_up(&self.0.settings, |viewers, services| {
            *self.0.viewers.write() = Arc::new(viewers);
            *self.0.services.write() = Arc::new(services);
        })
        .await;
    }
}
