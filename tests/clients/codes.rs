//! The close codes on which a client connects again: the same in the code, in the documents and in each client.

use std::{collections::BTreeSet, fs};

use fanfare::protocol::{Advice, Close};

use super::{MODULE, PYTHON, root};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All numbers of four digits in a text.
fn codes(text: &str) -> BTreeSet<u16> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter(|word| word.len() == 4).map(|word| word.parse().unwrap()).collect()
}

/// The codes between two marks in a client.
fn listed(source: &str, before: &str, after: &str) -> BTreeSet<u16> {
    let rest = source.split_once(before).unwrap_or_else(|| panic!("no {before:?}")).1;
    codes(rest.split_once(after).unwrap().0)
}

/// Symptom: a client stopped for ever after a deploy, because its library reported another code than the one sent.
/// Cause: the clients and the table listed the codes of the wire, without those that applications are given.
#[test]
fn every_client_connects_again_on_the_codes_of_the_table() {
    let guide = read("docs/clients.md");
    let table = guide.split_once("| code | means | then |\n").unwrap().1.split_once("\n\n").unwrap().0;
    let again = |row: &&str| row.contains("connect again");
    let documented: BTreeSet<u16> =
        table.lines().filter(again).flat_map(|row| codes(row.split('|').nth(1).unwrap())).collect();
    let stopped: BTreeSet<u16> = table
        .lines()
        .filter(|row| !again(row))
        .flat_map(|row| codes(row.split('|').nth(1).unwrap()))
        .collect();
    for close in Close::ALL.into_iter().filter(|close| *close != Close::Normal) {
        let comes_back = close.advice() != Advice::Stop;
        assert_eq!(documented.contains(&close.code()), comes_back, "{close:?}");
        assert_eq!(stopped.contains(&close.code()), !comes_back && close != Close::Flood, "{close:?}");
    }
    let (java_script, python) = (read(MODULE), read(PYTHON));
    assert_eq!(listed(&java_script, "const AGAIN = [", "];"), documented);
    assert_eq!(listed(&guide, "private val again = setOf(", ")"), documented, "Kotlin");
    assert_eq!(listed(&guide, "static let again = [", "]"), documented, "Swift");
    // It has one token, so that 3000 is its end.
    assert_eq!(listed(&python, "AGAIN = {", "}"), &documented - &[3000].into());
}
