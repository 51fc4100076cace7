//! Files that a pod's settings name.

use std::path::PathBuf;

use crate::stream_for;

/// A file of the test's own. Dropping it removes it.
pub struct TempFile(PathBuf);

impl TempFile {
    /// Writes a file with this text.
    pub fn with(text: &str) -> Self {
        let path = std::env::temp_dir().join(stream_for(&format!("fanfare-file-{}", std::process::id())));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    /// The file's path.
    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
