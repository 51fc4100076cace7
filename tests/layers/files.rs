//! The files of `src`, and what each takes from the others.
//!
//! A file depends on the file that defines what it names, however the name is exported on the way: `crate::hub::Hub` in a
//! room above is an edge to `hub/streams.rs` and not to `hub/mod.rs`. So neither `mod x;` nor a re-export is an edge. A
//! `mod.rs` that only declares its children and exports them depends on nothing, and a child may take from it what it
//! defines itself. They are a circle once the code of `mod.rs` uses something of such a child: by a `use` of its own, by a
//! path, or by a name that it exports as well. A module that is imported (`use crate::http`) is no edge either; what is
//! taken through it (`http::bind`) is. An inline module under `#[cfg(test)]` is left out: a file's unit tests may build
//! what stands above the file, and nothing takes from them. A method of a value is no name of a file and is not seen.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    iter::Peekable,
};

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree, token_stream::IntoIter};

type Path = Vec<String>;

/// A module, in a file of its own or inline.
#[derive(Default)]
struct Module {
    file: String,
    defines: HashSet<String>,
    uses: Vec<Use>,
    /// Paths and lone names in its code, each by its segments.
    paths: Vec<Path>,
}

struct Use {
    path: Path,
    /// The name in the module; `None` for `*`.
    name: Option<String>,
    is_export: bool,
}

/// What a path leads to.
#[derive(Clone)]
enum Target {
    Module(Path),
    /// Something that this file defines.
    Item(String),
}

/// What stands before a token.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Nothing,
    Pub,
    Dot,
    CfgTest,
}

/// All modules of a crate.
#[derive(Default)]
pub(super) struct Crate {
    modules: HashMap<Path, Module>,
    /// The names that were looked up, by module, name and whether the name ends its path.
    known: RefCell<HashMap<(Path, String, bool), Option<Target>>>,
}

/// Each file with the files that it takes from, and by which path it does so.
pub(super) type Edges = BTreeMap<String, BTreeMap<String, String>>;

const TYPES: [&str; 5] = ["struct", "enum", "union", "trait", "type"];
const OTHER_ITEMS: [&str; 4] = ["const", "static", "fn", "macro_rules"];

impl Crate {
    /// Reads a file by its path below `src`.
    pub(super) fn add(&mut self, file: &str, code: &str) {
        let mut path: Path = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if path.last().is_some_and(|last| last == "mod" || last == "lib") {
            path.pop();
        }
        let tokens: TokenStream = code.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        self.read(&path, file, tokens, true);
    }

    fn read(&mut self, path: &Path, file: &str, tokens: TokenStream, is_top: bool) {
        let module = self.modules.entry(path.clone()).or_default();
        file.clone_into(&mut module.file);
        let mut tokens = tokens.into_iter().peekable();
        // What the last token was, as far as the next one means something else after it.
        let mut after = After::Nothing;
        while let Some(token) = tokens.next() {
            let module = self.modules.entry(path.clone()).or_default();
            let before = std::mem::replace(&mut after, After::Nothing);
            match token {
                TokenTree::Group(group)
                    if before == After::Pub && group.delimiter() == Delimiter::Parenthesis =>
                {
                    after = After::Pub;
                }
                TokenTree::Group(group) => {
                    if is_cfg_test(&group) {
                        after = After::CfgTest;
                    }
                    self.read(path, file, group.stream(), false);
                }
                // The second one of `..` takes the first one back.
                TokenTree::Punct(punct) if punct.as_char() == '.' && before != After::Dot => {
                    after = After::Dot;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                TokenTree::Ident(word) => match word.to_string().as_str() {
                    "pub" => after = After::Pub,
                    "use" => use_tree(&mut tokens, &[], before == After::Pub, &mut module.uses),
                    "mod" => {
                        let name = tokens.next().map(|name| name.to_string()).unwrap_or_default();
                        if let Some(TokenTree::Group(body)) = tokens.next()
                            && before != After::CfgTest
                        {
                            self.read(&[path.clone(), vec![name]].concat(), file, body.stream(), true);
                        }
                    }
                    item if is_top && (TYPES.contains(&item) || OTHER_ITEMS.contains(&item)) => {
                        if let Some(TokenTree::Ident(name)) = tokens.peek() {
                            module.defines.insert(name.to_string());
                        }
                    }
                    first if before != After::Dot => {
                        let path = rest_of_path(first.to_owned(), &mut tokens);
                        module.paths.push(path);
                    }
                    // A field or a method is no name of the module.
                    _ => {}
                },
            }
        }
    }

    /// What a path in a module leads to; `None` outside of this crate.
    fn resolve(&self, from: &Path, path: &[String]) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" | "fanfare" => Target::Module(Path::new()),
            "self" => Target::Module(from.clone()),
            "super" => Target::Module(from[..from.len().saturating_sub(1)].to_vec()),
            _ => self.named(from, first, rest.is_empty())?,
        };
        self.follow(start, rest)
    }

    fn follow(&self, start: Target, rest: &[String]) -> Option<Target> {
        let mut target = start;
        for (at, name) in rest.iter().enumerate() {
            let Target::Module(module) = &target else { break };
            target = match name.as_str() {
                "super" => Target::Module(module[..module.len().saturating_sub(1)].to_vec()),
                "self" => target,
                _ => {
                    let file = || Target::Item(self.modules[module].file.clone());
                    self.named(module, name, at + 1 == rest.len()).unwrap_or_else(file)
                }
            };
        }
        Some(target)
    }

    /// What a name is in a module: a child, something of its own, or an import. At the end of a path it is the child
    /// only if it is nothing else: a function may have a module's name.
    fn named(&self, module: &Path, name: &str, is_last: bool) -> Option<Target> {
        let key = (module.clone(), name.to_owned(), is_last);
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        // A name that leads back to itself leads nowhere.
        self.known.borrow_mut().insert(key.clone(), None);
        let found = self.look_up(module, name, is_last);
        self.known.borrow_mut().insert(key, found.clone());
        found
    }

    fn look_up(&self, module: &Path, name: &str, is_last: bool) -> Option<Target> {
        let child = [&module[..], &[name.to_owned()]].concat();
        let child = self.modules.contains_key(&child).then_some(Target::Module(child));
        if child.is_some() && !is_last {
            return child;
        }
        let Some(found) = self.modules.get(module) else { return child };
        if found.defines.contains(name) {
            return Some(Target::Item(found.file.clone()));
        }
        let import = found.uses.iter().find(|import| import.name.as_deref() == Some(name));
        if let Some(import) = import {
            return self.resolve(module, &import.path);
        }
        let all = found.uses.iter().filter(|import| import.name.is_none());
        child.or_else(|| {
            all.filter_map(|import| self.resolve(module, &import.path)).find_map(|target| match target {
                Target::Module(other) => self.named(&other, name, is_last),
                Target::Item(_) => None,
            })
        })
    }

    /// Returns what each file takes from others.
    pub(super) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (path, module) in &self.modules {
            let mut taken: Vec<(&[String], Option<Target>)> = Vec::new();
            for import in module.uses.iter().filter(|import| !import.is_export) {
                let target = self.resolve(path, &import.path).map(|target| match target {
                    Target::Module(other) if import.name.is_none() => {
                        Target::Item(self.modules[&other].file.clone())
                    }
                    target => target,
                });
                taken.push((&import.path, target));
            }
            taken.extend(module.paths.iter().map(|taken| (&taken[..], self.resolve(path, taken))));
            for (by, target) in taken {
                if let Some(Target::Item(file)) = target.filter(|_| !module.file.is_empty())
                    && file != module.file
                {
                    edges
                        .entry(module.file.clone())
                        .or_default()
                        .entry(file)
                        .or_insert_with(|| by.join("::"));
                }
            }
        }
        edges
    }
}

/// Reads on to the end of a path of which the first segment is read.
fn rest_of_path(first: String, tokens: &mut Peekable<IntoIter>) -> Path {
    let mut path = vec![first];
    while is_colons(tokens) {
        match tokens.peek() {
            Some(TokenTree::Ident(name)) => path.push(name.to_string()),
            _ => break,
        }
        tokens.next();
    }
    path
}

/// Reads a `::`, if there is one.
fn is_colons(tokens: &mut Peekable<IntoIter>) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint);
    tokens.next_if(is_colon).is_some() && tokens.next().is_some()
}

/// Reads a tree of `use` up to its `;` or `,`.
fn use_tree(tokens: &mut Peekable<IntoIter>, before: &[String], is_export: bool, into: &mut Vec<Use>) {
    let (mut path, mut name) = (before.to_vec(), None);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => name = tokens.next().map(|name| name.to_string()),
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let mut inner = group.stream().into_iter().peekable();
                while inner.peek().is_some() {
                    use_tree(&mut inner, &path, is_export, into);
                }
                path.clear();
            }
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                into.push(Use { path: std::mem::take(&mut path), name: None, is_export });
            }
            TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';') => break,
            _ => {}
        }
    }
    if let Some(last) = path.last() {
        let name = Some(name.unwrap_or_else(|| last.clone()));
        into.push(Use { path, name, is_export });
    }
}

/// Returns the circles: the sets of files that all lead to each other.
pub(super) fn circles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (file.as_str(), reach(edges, file))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, all) in &reached {
        if all.contains(file) && !circles.iter().any(|circle| circle.contains(*file)) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|all| all.contains(file));
            circles.push(all.iter().filter(back).map(|&other| other.to_owned()).collect());
        }
    }
    circles
}

fn reach<'a>(edges: &'a Edges, from: &str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    reached
}

/// The edges inside a circle, a line each.
pub(super) fn told(edges: &Edges, circle: &BTreeSet<String>) -> String {
    let mut lines = Vec::new();
    for file in circle {
        for (other, by) in edges[file].iter().filter(|(other, _)| circle.contains(*other)) {
            lines.push(format!("  {file} takes {by} from {other}"));
        }
    }
    lines.join("\n")
}

/// The names of the types and traits that a file's modules define, its unit tests left out.
pub(super) fn types(code: &str) -> Vec<String> {
    fn collect(tokens: TokenStream, into: &mut Vec<String>) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is_word = |at: Option<usize>, words: &[&str]| {
            at.is_some_and(
                |at| matches!(&tokens[at], TokenTree::Ident(word) if words.iter().any(|is| word == is)),
            )
        };
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(body) if is_word(at.checked_sub(2), &["mod"]) => {
                    let attribute = at.checked_sub(3).map(|at| &tokens[at]);
                    if !matches!(attribute, Some(TokenTree::Group(attribute)) if is_cfg_test(attribute)) {
                        collect(body.stream(), into);
                    }
                }
                TokenTree::Ident(name) if is_word(at.checked_sub(1), &TYPES) => into.push(name.to_string()),
                _ => {}
            }
        }
    }
    let mut types = Vec::new();
    collect(code.parse().unwrap(), &mut types);
    types
}

fn is_cfg_test(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.to_string().replace(' ', "") == "[cfg(test)]"
}

fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let mut planted = Crate::default();
    files.iter().for_each(|(file, code)| planted.add(file, code));
    circles(&planted.edges()).into_iter().map(|circle| circle.into_iter().collect()).collect()
}

/// A parent that declares and exports its children may be taken from; one that uses them as well may not.
#[test]
fn a_parent_is_in_a_circle_with_a_child_that_it_uses() {
    let child = ("a/b.rs", "use super::Common; pub struct Part(Common);");
    let exports = "mod b; pub use b::Part; pub struct Common;";
    assert!(circles_of(&[("a/mod.rs", exports), child]).is_empty());
    for uses in ["fn f(_: Part) {}", "fn f(_: b::Part) {}", "mod inner { use super::super::a::b::Part; }"] {
        let both = [exports, uses].concat();
        assert_eq!(circles_of(&[("a/mod.rs", &both), child]), [["a/b.rs", "a/mod.rs"]], "{uses}");
    }
    let imports = "mod b; use b::Part; pub struct Common(Option<Box<Part>>);";
    assert_eq!(circles_of(&[("a/mod.rs", imports), child]), [["a/b.rs", "a/mod.rs"]]);
}

/// Files that take from each other by what a room exports, by an imported module and by a macro's arguments.
#[test]
fn a_circle_is_found_however_its_names_are_exported() {
    let room = ("a/mod.rs", "mod x; mod y; mod z; pub use x::X; pub use y::*; pub use z::z;");
    let x = ("a/x.rs", "use crate::a::Y; pub struct X(Y);");
    let y = ("a/y.rs", "use crate::a; pub struct Y; fn f() { log!(\"{}\", a::z()) }");
    let z = ("a/z.rs", "pub fn z() { super::super::a::X::new() }");
    assert_eq!(circles_of(&[room, x, y, z]), [["a/x.rs", "a/y.rs", "a/z.rs"]]);
    // A field of that name, a comment, a string and a unit test are no edges.
    let z = (
        "a/z.rs",
        "pub fn z() { it.X = \"super::X\" } // super::X\n#[cfg(test)] mod tests { use crate::a::X; }",
    );
    assert!(circles_of(&[room, x, y, z]).is_empty());
}
