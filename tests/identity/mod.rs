//! Tokens, keys and revocations, on pods that know some.

mod forgery;
mod keys;
mod living;
mod revoking;

use crate::world::{Issuer, Pod};

/// A pod that knows the issuer's keys, with further settings.
pub(crate) fn keyed(issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    with_keys(Pod::start, issuer, more)
}

/// The same behind TLS.
pub(crate) fn keyed_private(issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    with_keys(Pod::start_private, issuer, more)
}

fn with_keys(start: fn(&[(&str, &str)]) -> Pod, issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    let settings = issuer.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    start(&[&settings, more].concat())
}
