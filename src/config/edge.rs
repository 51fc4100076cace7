//! Settings of the edge: how strangers come in.

use std::path::PathBuf;

use clap::Args;

use super::Faults;
use crate::{
    http::{Origins, Proxies},
    limits::LimitRules,
    net::{HttpLimits, TlsFiles},
};

/// Settings of the edge as they were given.
#[derive(Debug, Clone, Args)]
pub(super) struct EdgeFlags {
    /// File with the certificate of the public listener and its chain, PEM; none: plain HTTP and WebSocket
    #[arg(long, env = "FANFARE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// File with the certificate's key, PEM
    #[arg(long, env = "FANFARE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Origins of pages that may watch, separated by commas, such as `https://live.example`; none: all
    #[arg(long, env = "FANFARE_ORIGINS", value_name = "LIST", default_value = "", hide_default_value = true)]
    origins: String,
    /// Networks of proxies whose X-Forwarded-For counts and whose handshakes may come from HTTP/2, separated by commas, such as 10.0.0.0/8; none: nobody's does
    #[arg(
        long,
        env = "FANFARE_TRUSTED_PROXIES",
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    trusted_proxies: String,
    /// File with limits of frames, posts and handshakes, JSON; none: no limits
    #[arg(long, env = "FANFARE_LIMITS", value_name = "FILE")]
    limits: Option<PathBuf>,
    /// How long an HTTP connection is kept between two requests: longer than the pools of proxies keep it
    #[arg(long, env = "FANFARE_KEEP_ALIVE", value_name = "DURATION", default_value = "75s")]
    keep_alive: String,
    /// The most bytes of a request's line and headers, cookies included; more are answered with 431
    #[arg(long, env = "FANFARE_HEAD_BYTES", value_name = "BYTES", default_value = "16384")]
    head_bytes: String,
}

/// How strangers come in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edge {
    /// The certificate of the public listener; none for a plain one.
    pub tls: Option<TlsFiles>,
    /// The pages that may watch.
    pub origins: Origins,
    /// Whose word on a client's address counts.
    pub proxies: Proxies,
    /// How often anybody may do anything.
    pub limits: LimitRules,
    /// The limits of HTTP connections.
    pub http: HttpLimits,
    /// Whether the demo page is served.
    pub demo: bool,
}

impl EdgeFlags {
    /// Checks them, with the files that they name.
    pub(super) fn check(self, demo: bool, faults: &mut Faults) -> Edge {
        Edge {
            tls: faults.tls(self.tls_cert, self.tls_key),
            origins: faults.origins(&self.origins),
            proxies: faults.proxies(&self.trusted_proxies),
            limits: faults.limits(self.limits),
            http: HttpLimits {
                idle: faults.duration("FANFARE_KEEP_ALIVE", &self.keep_alive, 1, 3_600),
                head_bytes: faults.number("FANFARE_HEAD_BYTES", &self.head_bytes, 8_192..=65_536),
            },
            demo,
        }
    }
}

impl Faults {
    fn tls(&mut self, certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<TlsFiles> {
        let files = match (certificate, key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => TlsFiles { certificate, key },
            (Some(_), None) => {
                self.0.push("FANFARE_TLS_KEY: missing beside FANFARE_TLS_CERT".to_owned());
                return None;
            }
            (None, Some(_)) => {
                self.0.push("FANFARE_TLS_CERT: missing beside FANFARE_TLS_KEY".to_owned());
                return None;
            }
        };
        if let Err(error) = files.check() {
            self.0.push(format!("FANFARE_TLS_CERT, FANFARE_TLS_KEY: {error}"));
        }
        Some(files)
    }

    fn origins(&mut self, list: &str) -> Origins {
        list.parse().unwrap_or_else(|word: String| {
            self.0.push(format!("FANFARE_ORIGINS: {word:?} is not an origin such as https://live.example"));
            Origins::default()
        })
    }

    fn proxies(&mut self, list: &str) -> Proxies {
        list.parse().unwrap_or_else(|word: String| {
            self.0.push(format!("FANFARE_TRUSTED_PROXIES: {word:?} is not a network such as 10.0.0.0/8"));
            Proxies::default()
        })
    }

    fn limits(&mut self, file: Option<PathBuf>) -> LimitRules {
        let Some(file) = file else { return LimitRules::default() };
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        text.and_then(|text| LimitRules::from_json(&text)).unwrap_or_else(|error| {
            self.0.push(format!("FANFARE_LIMITS: {}: {error}", file.display()));
            LimitRules::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::config::{BadConfig, Flags};

    fn faults(arguments: &[&str]) -> Vec<String> {
        let Err(BadConfig(faults)) =
            Flags::try_parse_from([&["fanfare"], arguments].concat()).unwrap().check()
        else {
            return Vec::new();
        };
        faults
    }

    #[test]
    fn what_is_no_origin_network_or_limit_is_named() {
        let named = faults(&["--origins=*", "--trusted-proxies=10.0.0.0/40", "--limits=/dev/null"]);
        let named: Vec<_> = named.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(named, ["FANFARE_ORIGINS", "FANFARE_TRUSTED_PROXIES", "FANFARE_LIMITS"]);
        assert!(
            faults(&["--origins=https://a.example,http://b:81", "--trusted-proxies=::1,10.0.0.0/8"])
                .is_empty()
        );
    }

    #[test]
    fn a_certificate_needs_its_key_and_both_must_be_there() {
        for alone in ["--tls-cert=/dev/null", "--tls-key=/dev/null"] {
            let faults = faults(&[alone]);
            assert!(faults.len() == 1 && faults[0].contains("missing beside"), "{faults:?}");
        }
        let empty = faults(&["--tls-cert=/dev/null", "--tls-key=/dev/null"]);
        assert_eq!(empty, ["FANFARE_TLS_CERT, FANFARE_TLS_KEY: /dev/null: no certificate in it"]);
        let absent = faults(&["--tls-cert=/no/such/file", "--tls-key=/dev/null"]);
        assert!(absent.len() == 1 && absent[0].contains("/no/such/file"), "{absent:?}");
    }
}
