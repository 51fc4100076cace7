//! Settings of keys and tokens, and the command that makes a token.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{BadConfig, Faults};
use crate::identity::{self, Grant, Identity, LEAST_LIFETIME};

/// Settings of keys and tokens as they were given.
#[derive(Debug, Clone, Args)]
pub(super) struct KeyFlags {
    /// File with the keys that viewers' tokens are signed with: a JWK Set
    #[arg(long, env = "FANFARE_VIEWER_KEYS", value_name = "FILE")]
    viewer_keys: Option<PathBuf>,
    /// File with the keys of services: name, SHA-256 of the key, kinds and streams of each
    #[arg(long, env = "FANFARE_SERVICE_KEYS", value_name = "FILE")]
    service_keys: Option<PathBuf>,
    /// The iss that every token must have
    #[arg(long, env = "FANFARE_TOKEN_ISSUER", value_name = "ISSUER")]
    token_issuer: Option<String>,
    /// The aud that every token must have; without it tokens must have none
    #[arg(long, env = "FANFARE_TOKEN_AUDIENCE", value_name = "AUDIENCE")]
    token_audience: Option<String>,
    /// The longest time for which a token counts from its iat; for so long a revoked user's tokens are refused
    #[arg(long, env = "FANFARE_TOKEN_LIFETIME", value_name = "DURATION", default_value = "24h")]
    token_lifetime: String,
}

/// A token as it was asked for.
#[derive(Debug, Clone, Args)]
pub struct TokenFlags {
    #[command(flatten)]
    keys: KeyFlags,
    /// Id of the user
    #[arg(long)]
    sub: String,
    /// Displayed name of the user [default: the id]
    #[arg(long)]
    name: Option<String>,
    /// Streams that the token is for: names, beginnings of names followed by *, or *
    #[arg(long, value_delimiter = ',', default_value = "*")]
    streams: Vec<String>,
    /// What it allows: watch, post, moderate
    #[arg(long, value_delimiter = ',', default_value = "watch,post", value_parser = ["watch", "post", "moderate"])]
    rights: Vec<String>,
    /// How long it counts
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    lives: String,
    /// The key to sign with [default: the first HS256 secret of the file]
    #[arg(long)]
    kid: Option<String>,
}

impl KeyFlags {
    /// Checks them, and reads the files.
    pub(super) fn check(self, faults: &mut Faults) -> identity::IdentitySettings {
        let settings = self.settings(faults);
        if let Err(wrong) = Identity::load(settings.clone()) {
            faults.0.extend(wrong);
        }
        settings
    }

    fn settings(self, faults: &mut Faults) -> identity::IdentitySettings {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        identity::IdentitySettings {
            viewer_keys: self.viewer_keys.filter(|path| !path.as_os_str().is_empty()),
            service_keys: self.service_keys.filter(|path| !path.as_os_str().is_empty()),
            issuer: given(self.token_issuer),
            audience: given(self.token_audience),
            lifetime: faults.lifetime(&self.token_lifetime),
        }
    }
}

impl Faults {
    fn lifetime(&mut self, text: &str) -> Duration {
        let given = humantime::parse_duration(text).ok().filter(|given| !given.is_zero());
        if given.is_some_and(|given| given < LEAST_LIFETIME) {
            self.0.push(format!(
                "FANFARE_TOKEN_LIFETIME: {text:?} is too short: a viewer is warned in the last fifth of its token's life, \
                 and fetches the next token in that time; it is at least 60s"
            ));
            return LEAST_LIFETIME;
        }
        self.duration("FANFARE_TOKEN_LIFETIME", text, LEAST_LIFETIME.as_secs(), 30 * 86_400)
    }
}

impl TokenFlags {
    /// Makes the token.
    ///
    /// # Errors
    /// [`BadConfig`]: what is wrong with the settings, or with what was asked for.
    pub fn mint(self) -> Result<String, BadConfig> {
        let mut faults = Faults(Vec::new());
        let settings = self.keys.settings(&mut faults);
        let lives: Duration = faults.duration("--lives", &self.lives, 1, 30 * 86_400);
        if !faults.0.is_empty() {
            return Err(BadConfig(faults.0));
        }
        let Self { sub, name, streams, rights, kid, .. } = self;
        let grant = Grant { kid, sub, name, streams, rights, lives };
        identity::mint(&settings, &grant).map_err(|fault| BadConfig(vec![fault]))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::config::{BadConfig, Flags};

    #[test]
    fn keys_and_an_open_pod_contradict_each_other_and_files_that_are_not_there_are_faults() {
        let faults = |arguments: &[&str]| match Flags::try_parse_from([&["fanfare"], arguments].concat()) {
            Ok(flags) => flags.check().err().map_or_else(Vec::new, |BadConfig(faults)| faults),
            Err(error) => panic!("{error}"),
        };
        let absent = faults(&["--viewer-keys=/nowhere/keys", "--service-keys=/nowhere/keys"]);
        let names: Vec<_> = absent.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(names, ["FANFARE_VIEWER_KEYS", "FANFARE_SERVICE_KEYS"]);
        let both = faults(&["--service-keys=/dev/null", "--open=true"]);
        assert!(both.iter().any(|fault| fault.starts_with("FANFARE_OPEN: ")), "{both:?}");
    }

    /// Symptom: with tokens of seconds every viewer fetched tokens all the time. Cause: nothing said that a token has to
    /// live long enough for a warning and a refresh.
    #[test]
    fn tokens_live_long_enough_to_be_refreshed() {
        let faults = |lifetime: &str| {
            let flags = Flags::try_parse_from(["fanfare", "--token-lifetime", lifetime]).unwrap();
            flags.check().err().map_or_else(Vec::new, |BadConfig(faults)| faults).join("\n")
        };
        for short in ["1s", "59s", "59999ms"] {
            let fault = faults(short);
            assert!(fault.starts_with("FANFARE_TOKEN_LIFETIME: ") && fault.contains("too short"), "{fault}");
        }
        for wrong in ["0s", "31d", "soon"] {
            assert!(faults(wrong).contains("is not a time"), "{wrong}");
        }
        assert_eq!(faults("60s"), "");
    }
}
