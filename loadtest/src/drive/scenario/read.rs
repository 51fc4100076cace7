//! Reads a TOML table key by key; mistakes are collected with their lines instead of ending the reading.

use std::{cell::RefCell, collections::BTreeMap, ops::RangeInclusive};

use toml::de::{DeTable, DeValue};

/// What is wrong with a file, and in which line.
pub(super) struct Mistakes<'a> {
    text: &'a str,
    found: RefCell<Vec<(usize, String)>>,
}

impl<'a> Mistakes<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Enters a mistake at this byte of the text.
    pub(super) fn note(&self, at: usize, what: impl Into<String>) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        self.found.borrow_mut().push((line, what.into()));
    }

    /// All of them by line.
    pub(super) fn into_lines(self) -> Vec<(usize, String)> {
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        found
    }
}

type Value<'a> = (usize, &'a DeValue<'a>);

/// A table whose keys are taken one by one; what is left at the end is unknown.
pub(super) struct Table<'a> {
    mistakes: &'a Mistakes<'a>,
    /// What messages call it: empty, or `raid.`.
    name: String,
    at: usize,
    /// By key: where the key stands, and its value.
    left: BTreeMap<&'a str, Value<'a>>,
}

impl<'a> Table<'a> {
    pub(super) fn of(table: &'a DeTable<'a>, (name, at): (&str, usize), mistakes: &'a Mistakes<'a>) -> Self {
        let entries =
            table.iter().map(|(key, value)| (&**key.get_ref(), (key.span().start, value.get_ref())));
        let name = if name.is_empty() { String::new() } else { format!("{name}.") };
        Self { mistakes, name, at, left: entries.collect() }
    }

    fn wrong(&self, at: usize, key: &str, what: &str) {
        self.mistakes.note(at, format!("{}{key}: {what}", self.name));
    }

    /// A number in this range, if the key is there.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let (at, value) = self.left.remove(key)?;
        let number = number(value).filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(at, key, &format!("a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A whole number in this range, if the key is there.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and in the range of u32"
    )]
    pub(super) fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (at, value) = self.left.remove(key)?;
        let number = number(value).filter(|number| number.fract() == 0.0 && *number >= 0.0);
        let number = number.map(|number| number as u32).filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(at, key, &format!("a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    pub(super) fn truth(&mut self, key: &str) -> Option<bool> {
        let (at, value) = self.left.remove(key)?;
        let DeValue::Boolean(truth) = value else {
            self.wrong(at, key, "true or false");
            return None;
        };
        Some(*truth)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let (at, value) = self.left.remove(key)?;
        let DeValue::String(text) = value else {
            self.wrong(at, key, "a text in quotes");
            return None;
        };
        Some(text.to_string())
    }

    /// A list of words, each one of those allowed.
    pub(super) fn words(&mut self, key: &str, allowed: &[&str]) -> Vec<String> {
        let Some((at, value)) = self.left.remove(key) else { return Vec::new() };
        let DeValue::Array(list) = value else {
            self.wrong(at, key, "a list of texts");
            return Vec::new();
        };
        let mut words = Vec::new();
        for item in list {
            match item.get_ref() {
                DeValue::String(word) if allowed.contains(&&**word) => words.push(word.to_string()),
                _ => self.wrong(item.span().start, key, &format!("each is one of {}", allowed.join(", "))),
            }
        }
        words
    }

    /// A list of pairs of numbers.
    pub(super) fn pairs(&mut self, key: &str) -> Vec<[f64; 2]> {
        let Some((at, value)) = self.left.remove(key) else { return Vec::new() };
        let DeValue::Array(list) = value else {
            self.wrong(at, key, "a list of pairs of numbers");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for item in list {
            let numbers = match item.get_ref() {
                DeValue::Array(pair) => pair.iter().filter_map(|value| number(value.get_ref())).collect(),
                _ => Vec::new(),
            };
            match numbers[..] {
                [first, second] if first >= 0.0 && second >= 0.0 => pairs.push([first, second]),
                _ => self.wrong(item.span().start, key, "each is a pair of numbers, 0 or more"),
            }
        }
        pairs
    }

    /// The table under this key.
    pub(super) fn table(&mut self, key: &str) -> Option<Self> {
        let (at, value) = self.left.remove(key)?;
        let DeValue::Table(table) = value else {
            self.wrong(at, key, "a table");
            return None;
        };
        Some(Table::of(table, (key, at), self.mistakes))
    }

    /// The tables of a list: `[[key]]`.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Self> {
        let Some((at, value)) = self.left.remove(key) else { return Vec::new() };
        let DeValue::Array(list) = value else {
            self.wrong(at, key, "a list of tables, each under [[…]]");
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in list {
            match item.get_ref() {
                DeValue::Table(table) => {
                    tables.push(Table::of(table, (key, item.span().start), self.mistakes));
                }
                _ => self.wrong(item.span().start, key, "a table"),
            }
        }
        tables
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// The key must be there.
    pub(super) fn need(&self, key: &str) {
        if !self.has(key) {
            self.wrong(self.at, key, "is missing");
        }
    }

    /// All keys must have been taken.
    pub(super) fn end(self) {
        for (key, (at, _)) in &self.left {
            self.wrong(*at, key, "is no setting of a scenario");
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let number: f64 = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok()?,
        DeValue::Float(number) => number.as_str().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}
