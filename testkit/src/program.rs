//! The project that is tested: its folder, and its program.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The root of the project, with `src`, `docs`, `deploy` and `tests`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the workspace")
}

/// The program `fanfare` of the build that the running test belongs to.
///
/// Cargo builds it for the project's own integration tests and benchmarks; for the load tester's tests, those of the
/// whole workspace do.
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        // Tests lie in the folder `deps` beside the program.
        let test = env::current_exe().unwrap();
        let program = test.ancestors().nth(2).expect("a folder of the build").join("fanfare");
        assert!(
            program.is_file(),
            "{} is not built: run the tests of the whole workspace, or `cargo build` with this test's options",
            program.display()
        );
        program
    });
    &BINARY
}

/// The name of the running test's target, such as `suite`.
pub(crate) fn target() -> String {
    let test = env::current_exe().unwrap();
    let stem = test.file_stem().unwrap().to_str().unwrap();
    // A hash follows the name.
    stem.rsplit_once('-').map_or(stem, |(name, _)| name).to_owned()
}
