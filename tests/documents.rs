//! What the documents say exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn sources(folder: PathBuf, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The names of all test functions, however they are declared.
fn tests(source: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = declared.filter(|_| is_test).and_then(|rest| rest.split('(').next()) {
            tests.insert(name);
        }
        is_test = line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
            || (is_test && declared.is_none());
    }
    tests
}

#[test]
fn the_tests_that_the_guarantees_name_exist_and_none_is_ignored() {
    let mut source = String::new();
    ["src", "tests", "loadtest"].iter().for_each(|folder| sources(root().join(folder), &mut source));
    let tests = tests(&source);
    let guarantees = read("docs/guarantees.md");
    let named =
        guarantees.split('`').skip(1).step_by(2).filter(|word| word.contains('_') && !word.contains('/'));
    let absent: Vec<_> = named.filter(|name| !tests.contains(name)).collect();
    assert!(absent.is_empty(), "docs/guarantees.md names tests that are not there: {absent:?}");
    // In two parts, so that this line is not found.
    assert!(!source.contains(concat!("#[ig", "nore")), "a test is ignored");
}

#[test]
fn the_readme_lists_the_settings_that_exist_and_no_others() {
    let variables = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        words.filter(|word| word.starts_with("FANFARE_") && word.len() > 8).map(str::to_owned).collect()
    };
    let mut config = read("src/config.rs");
    sources(root().join("src/config"), &mut config);
    let declared: String = config.lines().filter(|line| line.contains("env = ")).collect();
    assert_eq!(variables(&read("README.md")), variables(&declared));
}
