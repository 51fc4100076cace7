//! What the documents say exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::Pod;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn sources(folder: PathBuf, found: &mut String) {
    files(folder).iter().for_each(|path| found.push_str(&fs::read_to_string(path).unwrap()));
}

/// All Rust files in a folder and those below.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
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

/// The names of tests within a line of the guarantees.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| word.contains('_') && !word.contains(['/', '.']))
}

#[test]
fn the_tests_that_the_guarantees_name_exist_and_none_is_ignored() {
    let mut source = String::new();
    ["src", "tests", "testkit", "loadtest"]
        .iter()
        .for_each(|folder| sources(root().join(folder), &mut source));
    let tests = tests(&source);
    let guarantees = read("docs/guarantees.md");
    let absent: Vec<_> = guarantees.lines().flat_map(named).filter(|name| !tests.contains(name)).collect();
    assert!(absent.is_empty(), "docs/guarantees.md names tests that are not there: {absent:?}");
    // In two parts, so that this line is not found.
    assert!(!source.contains(concat!("#[ig", "nore")), "a test is ignored");
    assert!(!source.contains(concat!("cfg(any", "())")), "something is switched off");
}

/// A test whose file no module names, or that another binary holds, would be there and never run.
#[test]
fn the_tests_that_the_guarantees_name_are_compiled() {
    let own = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap();
    let run: BTreeSet<_> =
        own.lines().filter_map(|line| line.strip_suffix(": test")?.rsplit("::").next()).collect();
    assert!(run.len() > 100, "this binary lists its tests");
    let (mut of_suite, mut of_verify) = (String::new(), String::new());
    for path in files(root().join("tests")) {
        let is_apart = ["verify", "observed", "bluegreen", "tests/chaos", "runtimes", "simulation"]
            .iter()
            .any(|part| path.to_str().unwrap().contains(part));
        let text = fs::read_to_string(path).unwrap();
        if is_apart { of_verify.push_str(&text) } else { of_suite.push_str(&text) }
    }
    let (of_suite, of_verify) = (tests(&of_suite), tests(&of_verify));
    for line in read("docs/guarantees.md").lines() {
        for name in named(line) {
            assert!(!of_suite.contains(name) || run.contains(name), "no module names the file of {name}");
            let by_hand = line
                .find("make verify")
                .or(line.find("make chaos"))
                .or(line.find("make simulate"))
                .is_some_and(|at| line.find(name) > Some(at));
            assert!(!of_verify.contains(name) || by_hand, "{name} is not among those of `make test`");
        }
    }
    for folder in ["src", "testkit/src"].map(|folder| root().join(folder)) {
        let mut all = String::new();
        sources(folder.clone(), &mut all);
        for path in files(folder) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let is_named = ["main", "lib", "mod"].contains(&stem)
                || [format!("mod {stem};"), format!("\"{stem}.rs\"")].iter().any(|words| all.contains(words));
            assert!(is_named, "no module names {}", path.display());
        }
    }
}

/// Each promise, each fault and each race has its row, and each row a test.
#[test]
fn the_guarantees_have_a_row_with_a_test_for_each_promise_fault_and_race() {
    let guarantees = read("docs/guarantees.md");
    let rows: Vec<_> = guarantees.lines().filter(|line| line.starts_with("| ")).collect();
    for (letter, last) in [("G", 14), ("R", 15), ("S", 9), ("P", 17), ("V", 11), ("F", 8), ("O", 3)] {
        for number in 1..=last {
            let name = format!("{letter}{number}");
            let row = rows.iter().find(|row| row.split('|').nth(1).is_some_and(|first| first.trim() == name));
            let row = row.unwrap_or_else(|| panic!("docs/guarantees.md has no row {name}"));
            assert!(named(row).next().is_some(), "{name} has no test");
        }
    }
}

#[test]
fn the_readme_lists_the_settings_that_exist_and_no_others() {
    let variables = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        words.filter(|word| word.starts_with("FANFARE_") && word.len() > 8).map(str::to_owned).collect()
    };
    let mut config = String::new();
    sources(root().join("src/config"), &mut config);
    let declared: String = config.lines().filter(|line| line.contains("env = ")).collect();
    assert_eq!(variables(&read("README.md")), variables(&declared));
}

/// Symptom: `fanfare --help` told nothing of `RUST_LOG` and of OpenTelemetry's variables. Cause: help lists flags, and
/// these have none.
#[test]
fn help_lists_every_setting() {
    let help = Command::new(env!("CARGO_BIN_EXE_fanfare")).env_clear().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variables = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let is_setting =
            |word: &&str| ["FANFARE_", "OTEL_", "RUST_LOG"].iter().any(|start| word.starts_with(start));
        words.filter(is_setting).filter(|word| !word.ends_with('_')).map(str::to_owned).collect()
    };
    let (told, listed) = (variables(&help), variables(&read("README.md")));
    let absent: Vec<_> = listed.difference(&told).collect();
    assert!(absent.is_empty() && told.contains("RUST_LOG"), "--help does not list {absent:?}");
    let mut source = String::new();
    sources(root().join("src"), &mut source);
    // The exporter's and the log's libraries read the others.
    let is_read = |name: &&String| source.contains(&format!("\"{name}\""));
    let unread: Vec<_> =
        told.iter().filter(|name| name.starts_with("FANFARE_")).filter(|name| !is_read(name)).collect();
    assert!(unread.is_empty(), "--help lists what nothing reads: {unread:?}");
}

/// Symptom: a deployment's template that leaves a variable empty stopped the pod. Cause: an empty value was read as one.
#[test]
fn empty_variables_are_unset() {
    let mut config = String::new();
    sources(root().join("src/config"), &mut config);
    let names = config.split("env = \"").skip(1).filter_map(|after| after.split('"').next());
    let empty: Vec<_> = names.map(|name| (name, "")).filter(|(name, _)| !name.ends_with("LISTEN")).collect();
    assert!(empty.len() > 30, "{empty:?}");
    let others = [("RUST_LOG", ""), ("OTEL_TRACES_SAMPLER", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")];
    let settled = [("FANFARE_SETTLE", "0s"), ("FANFARE_DRAIN", "1s"), ("FANFARE_GRACE", "1h")];
    let pod = Pod::start(&[&empty[..], &others, &settled].concat());
    drop(pod);
    let bare = Command::new(env!("CARGO_BIN_EXE_fanfare"))
        .env_clear()
        .envs(empty)
        .envs([("FANFARE_LISTEN", ""), ("FANFARE_OPS_LISTEN", "nowhere")])
        .output()
        .unwrap();
    let said = String::from_utf8(bare.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("FANFARE_OPS_LISTEN: \"nowhere\""), "{said}");
}

/// Symptom: "No such file or directory" and "Address in use" without the file and the address, and under a variable's
/// name that nobody had set. Cause: errors of the operating system hold neither.
#[test]
fn an_error_at_the_start_names_the_file_the_address_and_what_was_typed() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
        let variables = variables.iter().copied();
        let run = command.env_clear().envs(variables).args(arguments).output().unwrap();
        assert!(!run.status.success());
        // Lines of the log, such as the one that names the build, are JSON.
        let said = String::from_utf8(run.stderr).unwrap();
        said.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect::<String>()
    };
    let listen = format!("--listen={address}");
    for (flag, variable) in [
        ("--viewer-keys=/no/such", ("FANFARE_VIEWER_KEYS", "/no/such")),
        ("--service-keys=/no/such", ("FANFARE_SERVICE_KEYS", "/no/such")),
        ("--shards-file=/no/such", ("FANFARE_SHARDS_FILE", "/no/such")),
        ("--limits=/no/such", ("FANFARE_LIMITS", "/no/such")),
        ("--listen=nowhere", ("FANFARE_LISTEN", "nowhere")),
        (&listen, ("FANFARE_LISTEN", &address)),
    ] {
        let (name, value) = flag.split_once('=').unwrap();
        let (by_flag, by_variable) = (said(&[flag], &[]), said(&[], &[variable]));
        let (as_flag, as_variable) = (format!("fanfare: {name}: "), format!("fanfare: {}: ", variable.0));
        // Before an address is listened on, the pod has logged that it starts.
        let line = |said: &str, begins: &str| {
            said.lines().any(|line| line.starts_with(begins) && line.contains(value))
        };
        assert!(line(&by_flag, &as_flag), "{by_flag}");
        assert!(!by_flag.contains(variable.0), "{by_flag}");
        assert!(line(&by_variable, &as_variable), "{by_variable}");
    }
    let both = said(&["--shards=a=redis://h"], &[("FANFARE_SHARDS_FILE", "/no/such")]);
    assert!(both.contains("FANFARE_SHARDS_FILE: there is --shards as well"), "{both}");
    let minted = said(&["token", "--sub=u", "--viewer-keys=/no/such"], &[]);
    assert!(minted.contains("--viewer-keys: /no/such: "), "{minted}");
}
