//! The list of shards, as an operator writes it.

use crate::shards::routing::address::ShardAddress;
use std::collections::HashSet;

use super::{backend::redis::check_url, routing::ring::MAX_WEIGHT};

/// Reads `name=url,name=url?weight=2`; names are 1 to 32 characters of `[a-z0-9-]`, weights 1 to 100.
///
/// Line breaks separate as commas do, and empty items are passed over, so that a file with a line a shard is a list too.
///
/// # Errors
/// Every fault, with the shard's name and never with its URL.
pub fn parse_shards(text: &str) -> Result<Vec<ShardAddress>, Vec<String>> {
    let mut names = HashSet::new();
    let mut shards = Vec::new();
    let mut faults = Vec::new();
    for item in text.split([',', '\n', '\r']).map(str::trim).filter(|item| !item.is_empty()) {
        match parse_shard(item) {
            Ok(shard) if !names.insert(shard.name.clone()) => {
                faults.push(format!("the shard {:?} is named twice", shard.name));
            }
            Ok(shard) => shards.push(shard),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(shards) } else { Err(faults) }
}

fn parse_shard(item: &str) -> Result<ShardAddress, String> {
    let (name, rest) = item
        .split_once('=')
        .filter(|(name, _)| !name.contains("://"))
        .ok_or_else(|| "a shard is written name=redis://host:port, and one of them has no name".to_owned())?;
    let name = name.trim();
    let is_name_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(is_name_char) {
        return Err(format!("a shard's name is 1 to 32 characters of a-z, 0-9 and -, not {name:?}"));
    }
    let (url, query) = rest.trim().split_once('?').unwrap_or((rest.trim(), ""));
    let mut weight = 1;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        weight = match key {
            "weight" => {
                value.parse().ok().filter(|weight| (1..=MAX_WEIGHT).contains(weight)).ok_or_else(|| {
                    format!(
                        "the weight of the shard {name:?} is a number from 1 to {MAX_WEIGHT}, not {value:?}"
                    )
                })?
            }
            _ => return Err(format!("the shard {name:?} has an unknown parameter {key:?}; there is weight")),
        };
    }
    check_url(url).map_err(|error| format!("the shard {name:?}: {error}"))?;
    Ok(ShardAddress { name: name.to_owned(), weight, url: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let list = "a=redis://h1:6379, b=rediss://user:pa%2Css@h2:6380/0?weight=2\nc-3=redis://h3,\n";
        let shards = parse_shards(list).unwrap();
        let names: Vec<_> = shards.iter().map(|shard| (shard.name.as_str(), shard.weight)).collect();
        assert_eq!(names, [("a", 1), ("b", 2), ("c-3", 1)]);
        assert!(!format!("{shards:?}").contains("pa"), "passwords are not shown");
        assert_eq!(parse_shards(""), Ok(vec![]));
    }

    /// Symptom: a generated password with a quote in it took every stream of its shard away; the log spoke of a wrong
    /// password. Cause: the client sends user and password in one line without quotes.
    #[test]
    fn credentials_that_cannot_be_sent_are_refused() {
        for credentials in ["p%20w", "p%22w", "p%27w", "p%0d%0aw", "us%20er:p"] {
            let user = if credentials.contains(':') { "" } else { "user:" };
            let faults = parse_shards(&format!("a=redis://{user}{credentials}@h:6379")).unwrap_err();
            assert_eq!(
                faults,
                ["the shard \"a\": a shard's user and password hold no space, quote or control character"]
            );
        }
        assert!(parse_shards("a=redis://us%C3%A4r:p%25%23%2F%3F%40%2B%5C@h:6379").is_ok());
    }

    #[test]
    fn every_fault_is_named_and_no_password_shown() {
        let list = "=redis://h,A=redis://h,a=redis://h,a=redis://h,b=http://:secret@h,c=redis://h?weight=0,\
                    d=redis://h?weight=101,e=redis://h?colour=red,redis://h,f=,g=redis://u:secret@:port";
        let faults = parse_shards(list).unwrap_err();
        assert_eq!(faults.len(), 10, "{faults:#?}");
        assert!(faults.iter().all(|fault| !fault.contains("secret")), "{faults:#?}");
        for expected in [
            "\"a\" is named twice",
            "\"b\": a shard's URL begins with",
            "\"c\" is a number",
            "\"colour\"",
            "no name",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:#?}");
        }
    }
}
