//! Tokens, keys and revocations, on pods that know some.

mod forgery;
mod keys;
mod living;
mod revoking;
