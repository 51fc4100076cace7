//! How many cases there are: distinct ones, by group.

use std::{
    collections::HashSet,
    io::{self, Write as _},
};

use super::{frames, handshakes, identity, json, rest, slow, streams, text};

/// The groups, how many cases each has at least, and their names.
fn groups() -> Vec<(&'static str, usize, Vec<String>)> {
    vec![
        ("protocol", 80, frames::names()),
        ("handshake", 30, [handshakes::names(), slow::names()].concat()),
        ("JSON", 60, json::names()),
        ("identity", 40, identity::names()),
        ("text", 30, text::names()),
        ("REST", 30, [rest::names(), streams::names()].concat()),
    ]
}

/// G14: the catalogue is long enough, no case stands in it twice, and the counts are told.
#[test]
fn g14_the_catalogue_is_complete() {
    let (mut lines, mut all) = (String::new(), 0);
    for (group, least, names) in groups() {
        let distinct: HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{group}: a name stands twice");
        assert!(names.len() >= least, "{group}: {} of {least} cases", names.len());
        lines.push_str(&format!(" {group} {},", names.len()));
        all += names.len();
    }
    assert!(all >= 250);
    // Past the capture of passing tests: who reads the result of `make test` sees the counts.
    writeln!(io::stdout(), "bad input:{lines} together {all} distinct cases").unwrap();
}
