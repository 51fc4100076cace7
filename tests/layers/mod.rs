//! The staircase holds: a room imports only rooms below it, closets import no room, and a few rules that keep it so.

mod files;

use std::{collections::BTreeMap, fs, path::Path};

/// Each room's step.
const ROOMS: [(&str, u8); 12] = [
    ("domain", 1),
    ("net", 1),
    ("identity", 2),
    ("limits", 2),
    ("protocol", 2),
    ("hub", 3),
    ("shards", 4),
    ("connection", 5),
    ("http", 6),
    ("app", 7),
    ("config", 7),
    ("main", 8),
];
/// What every room may import; they import none.
const CLOSETS: [&str; 4] = ["telemetry", "readiness", "tasks", "release"];
/// Third-party crates, and the one place that knows each.
const BEHIND: [(&str, &str); 6] = [
    ("fred", "shards/backend/redis"),
    ("sysinfo", "readiness"),
    ("opentelemetry", "telemetry"),
    ("rustls", "net/"),
    ("jsonwebtoken", "identity"),
    ("tungstenite", "connection/"),
];

struct Source {
    /// Below `src`, such as `hub/seat.rs`.
    path: String,
    /// As it is.
    text: String,
    /// Without comments.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// The rooms behind each `crate::`, alone or in braces.
    fn imports(&self) -> Vec<&str> {
        let mut rooms = Vec::new();
        for (at, root) in self.code.match_indices("crate::") {
            let after = &self.code[at + root.len()..];
            match after.strip_prefix('{') {
                Some(group) => rooms.extend(top_level_names(group)),
                None => rooms.push(name(after)),
            }
        }
        rooms
    }
}

fn name(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
}

fn top_level_names(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn step(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, step)| *step)
}

fn sources() -> Vec<Source> {
    sources_in("src")
}

/// The sources of the load tester.
fn testers_sources() -> Vec<Source> {
    sources_in("loadtest/src")
}

fn sources_in(folder: &str) -> Vec<Source> {
    fn collect(root: &Path, folder: &Path, into: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let code = code.join("\n");
                into.push(Source { path, text, code });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    assert!(sources.len() > 20, "the sources are where they are expected");
    sources
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// README "The house": one staircase.
#[test]
fn a_room_imports_only_rooms_below_it() {
    let sources = sources();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.room() != "lib") {
        let (room, own) = (source.room(), step(source.room()));
        assert!(own.is_some() || CLOSETS.contains(&room), "{} is in no room of the plan", source.path);
        for import in source.imports() {
            let above = step(import) > own && step(import).is_some();
            let unknown = step(import).is_none() && !CLOSETS.contains(&import);
            if (above || unknown) && import != room {
                faults.push(format!("{} imports {import}", source.path));
            }
        }
    }
    none(&faults);
    let imported: usize = sources.iter().map(|source| source.imports().len()).sum();
    assert!(imported > 50, "the imports are read");
}

/// README "The house": a third-party crate stands behind one room.
#[test]
fn third_party_crates_stand_behind_one_room() {
    let mut faults = Vec::new();
    for Source { path, code, .. } in sources() {
        for (name, place) in BEHIND {
            if code.contains(name) && !path.starts_with(place) {
                faults.push(format!("{path} names {name}, which belongs in {place}"));
            }
        }
    }
    none(&faults);
}

/// every task has an owner, and handles hide their locks.
#[test]
fn tasks_have_an_owner_and_signatures_hide_locks() {
    let mut faults = Vec::new();
    for Source { path, code, .. } in sources() {
        if code.contains("tokio::spawn") && path != "tasks.rs" {
            faults.push(format!("{path} spawns a task that nobody owns"));
        }
        for function in ["pub fn ", "pub async fn ", "pub const fn "] {
            for (at, _) in code.match_indices(function) {
                let signature = code[at..].split(['{', ';']).next().unwrap();
                if ["Arc<", "Mutex<", "DashMap<"].iter().any(|shared| signature.contains(shared)) {
                    faults.push(format!("{path} shows a lock or shared pointer: {signature}"));
                }
            }
        }
    }
    none(&faults);
}

/// a file can be read in a sitting.
#[test]
fn no_file_is_over_400_lines() {
    let long = sources().into_iter().map(|source| (source.path, source.code.lines().count()));
    let faults: Vec<_> = long
        .filter(|(_, lines)| *lines > 400)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none(&faults);
}

/// The structs that derive their reading, each with the lines of its fields.
fn derived_structs(code: &str) -> Vec<(&str, &str)> {
    let derives = code.match_indices("#[derive(").filter_map(|(at, _)| {
        let (derived, after) = code[at..].split_once(")]")?;
        let after = after.split_once("struct ").filter(|(before, _)| !before.contains(['{', ';']))?.1;
        let is_read = derived.split(['(', ',']).any(|word| word.trim() == "Deserialize");
        is_read.then(|| {
            (name(after), after.split_once('{').map_or("", |(_, fields)| fields.split('}').next().unwrap()))
        })
    });
    derives.collect()
}

/// Symptom: an array was taken where the documents have an object, in a body, a batch and a file.
/// Cause: serde reads a derived struct from an array of its fields as well; `domain::Object` does not.
#[test]
fn a_derived_struct_is_read_as_an_object() {
    let mut sources = sources();
    sources.retain(|source| !source.path.contains("tests"));
    let code = |source: &Source| source.code.split("#[cfg(test)]").next().unwrap().to_owned();
    let codes: Vec<_> = sources.iter().map(|source| (source.path.as_str(), code(source))).collect();
    let structs: Vec<_> = codes
        .iter()
        .flat_map(|(path, code)| derived_structs(code).into_iter().map(move |found| (*path, found)))
        .collect();
    assert!(structs.len() > 10, "{structs:?}");
    let is_derived = |word: &str| structs.iter().any(|(_, (name, _))| *name == word);
    let mut faults = Vec::new();
    for (path, (name, fields)) in &structs {
        let lines: Vec<_> = fields.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((field, of_type)) = line.split_once(": ") else { continue };
            let words: Vec<_> =
                of_type.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            let is_bare = words.iter().enumerate().any(|(at, word)| {
                is_derived(word) && at.checked_sub(1).is_none_or(|before| words[before] != "Object")
            });
            let has_reader =
                at > 0 && lines[at - 1].contains("deserialize_with") && lines[at - 1].contains("object\"");
            if is_bare && !has_reader {
                faults.push(format!("{path}: {name}.{field} may be an array"));
            }
        }
    }
    for (path, code) in &codes {
        for line in code.lines().filter(|line| line.contains("serde_json::from_")) {
            if *path != "domain/json.rs" && !line.contains("Object") && !line.contains(": Map<") {
                faults.push(format!("{path} reads what may be an array: {}", line.trim()));
            }
        }
    }
    none(&faults);
}

/// Each file with the files that it takes from: more than `least` pairs, or the uses were not found.
fn edges_of(sources: &[Source], least: usize) -> files::Edges {
    let mut all = files::Crate::default();
    sources.iter().for_each(|source| all.add(&source.path, &source.text));
    let edges = all.edges();
    assert!(edges.values().map(BTreeMap::len).sum::<usize>() > least, "the edges are found");
    edges
}

/// Files can be read one after the other: none takes from a file that leads back to it.
#[test]
fn no_circle_between_files() {
    for (sources, least) in [(sources(), 300), (testers_sources(), 100)] {
        let edges = edges_of(&sources, least);
        let circles = files::circles(&edges);
        none(&circles.iter().map(|circle| files::told(&edges, circle)).collect::<Vec<_>>());
    }
}

/// The step of each folder of `shards`: a file takes only from its own folder and those below it.
const SHELVES: [(&str, u8); 6] = [
    ("shards/routing/", 1),
    ("shards/settings.rs", 2),
    ("shards/backend/", 3),
    ("shards/audience/", 4),
    ("shards/history/", 4),
    ("shards/keeper/", 5),
];
/// The same for the load tester.
const TESTERS_SHELVES: [(&str, u8); 7] = [
    ("base/", 1),
    ("protocol/", 2),
    ("check/", 3),
    ("drive/", 4),
    ("report/", 5),
    ("run/", 6),
    ("commands/", 7),
];

/// The uses of files in folders that stand above or beside theirs.
fn uses_upward(edges: &files::Edges, room: &str, shelves: &[(&str, u8)]) -> Vec<String> {
    let shelf = |file: &str| shelves.iter().find(|(folder, _)| file.starts_with(folder)).copied();
    let (mut faults, mut seen) = (Vec::new(), 0);
    for (file, uses) in edges.iter().filter(|(file, _)| !file.contains("/tests/")) {
        let Some((folder, step)) = shelf(file) else { continue };
        for (used, name) in uses {
            let is_upward = match shelf(used) {
                Some((other, theirs)) => other != folder && theirs >= step,
                None => used.starts_with(room),
            };
            seen += 1;
            if is_upward {
                faults.push(format!("{file} takes {name:?} from {used}"));
            }
        }
    }
    assert!(seen > 50, "the uses are found");
    faults
}

/// The order within the room of shards: keeper → audience, history → backend → routing; the room's own files use all.
#[test]
fn a_folder_of_shards_takes_only_from_folders_below_it() {
    none(&uses_upward(&edges_of(&sources(), 300), "shards/", &SHELVES));
}

#[test]
fn a_folder_of_the_load_tester_takes_only_from_folders_below_it() {
    none(&uses_upward(&edges_of(&testers_sources(), 100), "", &TESTERS_SHELVES));
}

/// A name has one meaning. `Inner`, the private part behind a handle, may stand once in each file.
#[test]
fn a_type_name_stands_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.path.contains("tests")) {
        for name in files::types(&source.text) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    assert!(places.len() > 300, "the types are found");
    let doubled = places.iter().filter(|(name, paths)| *name != "Inner" && paths.len() > 1);
    let faults: Vec<_> = doubled
        .map(|(name, paths)| format!("{name} is the name of {} types: {}", paths.len(), paths.join(", ")))
        .collect();
    none(&faults);
}

/// A module with children is `x/mod.rs`, and a file lies where its module is declared, so that it is found by its name.
#[test]
fn modules_are_laid_out_in_one_way() {
    let mut faults = Vec::new();
    for sources in [sources(), testers_sources(), sources_in("testkit/src")] {
        for Source { path, code, .. } in &sources {
            let folder = format!("{}/", path.trim_end_matches(".rs"));
            let has_folder = sources.iter().any(|other| other.path.starts_with(&folder));
            if has_folder {
                faults.push(format!("{path} is to be {folder}mod.rs"));
            }
            if code.contains("#[path") {
                faults.push(format!("{path} declares a module that lies elsewhere"));
            }
        }
    }
    none(&faults);
}
