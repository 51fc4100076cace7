//! Settings of keys and tokens, and the command that makes a token.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{BadConfig, Faults};
use crate::identity::{self, Grant, Identity};

/// Settings of keys and tokens as they were given.
#[derive(Debug, Clone, Args)]
pub(super) struct KeyFlags {
    /// File with the keys that viewers' tokens are signed with: a JWK Set, each key with its kid and alg
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
    /// The longest time from a token's iat to its exp; for so long a revoked user's tokens are refused
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
    pub(super) fn check(self, faults: &mut Faults) -> identity::Settings {
        let settings = self.settings(faults);
        if let Err(wrong) = Identity::load(settings.clone()) {
            faults.0.extend(wrong);
        }
        settings
    }

    fn settings(self, faults: &mut Faults) -> identity::Settings {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        identity::Settings {
            viewer_keys: self.viewer_keys.filter(|path| !path.as_os_str().is_empty()),
            service_keys: self.service_keys.filter(|path| !path.as_os_str().is_empty()),
            issuer: given(self.token_issuer),
            audience: given(self.token_audience),
            lifetime: faults.duration("FANFARE_TOKEN_LIFETIME", &self.token_lifetime, 60, 30 * 86_400),
        }
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
        assert_eq!(faults(&["--token-lifetime=1s"]).len(), 1);
    }
}
