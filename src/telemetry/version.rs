//! The program's version and build.

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that the program was built of, with `+` when its files were changed; `debug` in a debug build.
pub const BUILD: &str = env!("BUILD_COMMIT");
/// Both, as `--version` shows them.
pub const VERSION_AND_BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");
