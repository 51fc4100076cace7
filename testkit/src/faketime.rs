//! Clocks that are wrong.

use std::fs;

/// Settings for a pod whose clock is off by so much, such as `-2s`. Timers go by the monotonic clock, which stays.
pub fn clock_off_by(offset: &str) -> [(&'static str, String); 3] {
    [
        ("LD_PRELOAD", faketime()),
        ("FAKETIME", offset.to_owned()),
        // By its name in Debian's release and in later ones.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Where Debian's package faketime keeps its library.
pub fn faketime() -> String {
    let folders = fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut paths = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let path = paths.find(|path| path.exists());
    path.expect("libfaketime, of the Debian package faketime").to_str().unwrap().to_owned()
}
