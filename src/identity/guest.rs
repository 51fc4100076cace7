//! The session of a guest: a viewer without a name of a pod without keys.

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, digest};

use crate::domain::EntryId;

/// The length of a secret in characters, of six random bits each.
const SECRET_CHARS: usize = 32;

/// The secret of a guest's session. Its holder is the guest again on the next socket, on any pod: the session's public name
/// is a hash of it, so that no pod has to remember it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret([u8; SECRET_CHARS]);

/// A secret of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("session must be the session_secret of a hello: 32 characters of A-Z, a-z, 0-9, _ and -")]
pub struct BadSecret;

impl SessionSecret {
    /// A new random one.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = [0; SECRET_CHARS];
        for half in secret.chunks_exact_mut(SECRET_CHARS / 2) {
            half.copy_from_slice(EntryId::random().as_str().as_bytes());
        }
        Self(secret)
    }

    /// The session's name: the id of the guest's comments, which tells nothing of the secret.
    #[must_use]
    pub fn session(&self) -> EntryId {
        EntryId::of_bytes(digest(&SHA256, &self.0).as_ref())
    }

    /// The secret, for its guest alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        // Both constructors admit ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for SessionSecret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let secret = <[u8; SECRET_CHARS]>::try_from(text.as_bytes()).map_err(|_| BadSecret)?;
        if secret.iter().all(is_good) { Ok(Self(secret)) } else { Err(BadSecret) }
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_of_one_session_and_is_not_shown() {
        let (one, other) = (SessionSecret::random(), SessionSecret::random());
        assert_eq!(one.reveal().parse(), Ok(one.clone()));
        assert!(one.session() == one.session() && one.session() != other.session());
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert!(!one.reveal().contains(one.session().as_str()));
        // The same on pods of every build: `printf %s aaa… | sha256sum`, each byte's low six bits.
        let known: SessionSecret = "a".repeat(32).parse().unwrap();
        assert_eq!(known.session().as_str(), "7j107SgmDBauiiDC");
    }

    #[test]
    fn whatever_has_another_form_is_no_secret() {
        let good = SessionSecret::random().reveal().to_owned();
        for bad in
            ["", "a", &good[1..], &format!("{good}a"), &format!("{}.", &good[1..]), &"é".repeat(16), "%00"]
        {
            assert_eq!(bad.parse::<SessionSecret>(), Err(BadSecret), "{bad}");
        }
    }
}
