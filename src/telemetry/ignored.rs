//! Settings without effect.

/// A setting that has no effect, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignored {
    /// The variable.
    pub(super) setting: String,
    /// The fault, and the value in use instead. Never the value of a header: it may be a secret.
    pub(super) reason: String,
}
