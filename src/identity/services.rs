//! The keys of services: which there are, and what each is for.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::{Kind, Object, Service, StreamPatterns, read_object};

/// The longest name: it is shown as the author of what names none.
const MAX_NAME_BYTES: usize = 64;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The keys of one file. Several may have one name: while a key is exchanged, the old and the new one count.
pub(super) struct ServiceKeys(Vec<(Digest, Service)>);

#[derive(Deserialize)]
struct File {
    keys: Vec<Object<KeyLine>>,
}

#[derive(Deserialize)]
struct KeyLine {
    name: String,
    sha256: String,
    kinds: Vec<Kind>,
    streams: Vec<String>,
}

impl ServiceKeys {
    /// None at all.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads a file's text.
    pub(super) fn read(text: &[u8]) -> Result<Self, Vec<String>> {
        let form = r#"{"keys":[{"name":"shop","sha256":"…","kinds":["gift"],"streams":["*"]}]}"#;
        let file: File = read_object(text)
            .map_err(|error| vec![format!("line {}: not of the form {form}", error.line())])?;
        if file.keys.is_empty() {
            return Err(vec!["the file names no key".to_owned()]);
        }
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for (number, Object(line)) in file.keys.into_iter().enumerate() {
            match line.check() {
                Ok((digest, _)) if keys.iter().any(|(known, _)| *known == digest) => {
                    faults.push(format!("key {}: it is there twice", number + 1));
                }
                Ok(key) => keys.push(key),
                Err(fault) => faults.push(format!("key {}: {fault}", number + 1)),
            }
        }
        if faults.is_empty() { Ok(Self(keys)) } else { Err(faults) }
    }

    /// The service whose key this is. Takes as long whichever it is, and if it is none.
    pub(super) fn find(&self, key: &[u8]) -> Option<Service> {
        let sent = digest(&SHA256, key);
        let mut found = None;
        for (number, (known, _)) in self.0.iter().enumerate() {
            let is_it: Choice = known[..].ct_eq(sent.as_ref());
            if is_it.into() {
                found = Some(number);
            }
        }
        found.and_then(|number| Some(self.0.get(number)?.1.clone()))
    }
}

impl KeyLine {
    fn check(self) -> Result<(Digest, Service), String> {
        let Self { name, sha256, kinds, streams } = self;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(is_plain) {
            return Err("name is 1 to 64 characters of A-Z, a-z, 0-9, -, _ and .".to_owned());
        }
        let digest = hex(&sha256).ok_or("sha256 is 64 hexadecimal digits")?;
        if digest == hash_of_nothing() {
            return Err("sha256 is that of an empty key".to_owned());
        }
        let streams = StreamPatterns::parse(&streams).map_err(|fault| fault.to_string())?;
        Ok((digest, Service { name, kinds, streams }))
    }
}

fn hash_of_nothing() -> Digest {
    let mut nothing = [0; SHA256_OUTPUT_LEN];
    nothing.copy_from_slice(digest(&SHA256, b"").as_ref());
    nothing
}

fn hex(text: &str) -> Option<Digest> {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * bytes.len())?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(pair.iter().fold(0, |value, digit| value * 16 + digit)).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s abc | sha256sum`, and of `abcd`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABCD: &str = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589";

    fn file(keys: &str) -> Result<ServiceKeys, Vec<String>> {
        ServiceKeys::read(format!(r#"{{"keys":[{keys}]}}"#).as_bytes())
    }

    fn line(sha256: &str) -> String {
        format!(r#"{{"name":"shop","sha256":"{sha256}","kinds":["gift"],"streams":["live-*"]}}"#)
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_two_may_have_one_name() {
        let keys = file(&format!("{},{}", line(ABC), line(&ABCD.to_uppercase()))).unwrap();
        let shop = keys.find(b"abc").unwrap();
        assert_eq!((shop.name.as_str(), &shop.kinds[..]), ("shop", &[Kind::Gift][..]));
        assert_eq!(keys.find(b"abcd"), Some(shop));
        for wrong in [&b""[..], b"ab", b"abcde", ABC.as_bytes()] {
            assert_eq!(keys.find(wrong), None);
        }
        assert_eq!(ServiceKeys::none().find(b""), None);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_and_no_key_is_repeated() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let cases = [
            (String::new(), "the file names no key"),
            (line(empty), "key 1: sha256 is that of an empty key"),
            (line(&ABC[1..]), "key 1: sha256 is 64 hexadecimal digits"),
            (line(&ABC.replace('b', "g")), "key 1: sha256 is 64 hexadecimal digits"),
            (format!("{},{}", line(ABC), line(ABC)), "key 2: it is there twice"),
            (
                line(ABC).replace("live-*", "*live"),
                "key 1: streams are names, beginnings of names followed by *, or * for all",
            ),
            (
                line(ABC).replace("shop", "a b"),
                "key 1: name is 1 to 64 characters of A-Z, a-z, 0-9, -, _ and .",
            ),
        ];
        for (keys, fault) in cases {
            assert_eq!(file(&keys).err().unwrap(), [fault], "{keys}");
        }
        let listed = format!(r#"["shop","{ABC}",["gift"],["*"]]"#);
        for unknown in
            [line(ABC).replace("gift", "emperor"), line(ABC).replace(r#""gift""#, r#"{"gift":null}"#), listed]
        {
            let faults = file(&unknown).err().unwrap();
            assert!(
                faults[0].starts_with("line 1: not of the form") && !faults[0].contains(ABC),
                "{unknown}"
            );
        }
        assert!(
            ServiceKeys::read(format!("[[{}]]", line(ABC)).as_bytes()).is_err(),
            "an array of the file's fields"
        );
    }
}
