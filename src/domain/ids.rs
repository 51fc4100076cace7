//! Identifiers: each is checked once, where it enters, and is then known to be good.

use std::{fmt, str::FromStr, sync::Arc};

/// An identifier that does not have its documented form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {form}")]
pub struct BadId {
    /// Which identifier it is, in words.
    pub what: &'static str,
    /// The form that it should have had.
    pub form: &'static str,
}

/// A stream's name: 1 to 64 characters of `[A-Za-z0-9_-]`.
///
/// The characters are those that need no escape in a URL, a Redis key or a channel name. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let form = "1 to 64 characters of A-Z, a-z, 0-9, _ and -";
        let good = (1..=64).contains(&text.len()) && text.bytes().all(is_url_safe);
        if good { Ok(Self(text.into())) } else { Err(BadId { what: "a stream", form }) }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A poster's own idempotency id: 1 to 64 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PostId(Box<str>);

impl PostId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PostId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let form = "1 to 64 printable ASCII characters";
        let good = (1..=64).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if good { Ok(Self(text.into())) } else { Err(BadId { what: "an idempotency id", form }) }
    }
}

/// The server's random name of one entry: 16 URL-safe characters (96 random bits).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId([u8; 16]);

/// The random name of one life of a stream's history: 8 URL-safe characters (48 random bits).
///
/// Sequence numbers count inside an epoch; a history that was lost begins anew under another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 8]);

/// The random name of a branch of an epoch: 6 URL-safe characters (36 random bits).
///
/// Another one begins with the first post that another process of the shard takes: it was started again, or a replica
/// took over. If that process did not know the newest entries, it gives their numbers again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeline([u8; 6]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl EntryId {
    /// The name that stands for these bytes, such as a hash; of 16 bytes or more all of their first 16 count.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut name = [ALPHABET[0]; 16];
        for (byte, of) in name.iter_mut().zip(bytes) {
            *byte = ALPHABET[usize::from(*of & 63)];
        }
        Self(name)
    }
}

/// Gives a fixed-size ASCII identifier its random constructor, text form and checks.
macro_rules! random_ascii {
    ($name:ident, $len:literal, $what:literal) => {
        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes: [u8; $len] = rand::random();
                for byte in &mut bytes {
                    *byte = ALPHABET[usize::from(*byte & 63)];
                }
                Self(bytes)
            }

            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                // Both constructors admit ASCII only.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = BadId {
                    what: $what,
                    form: concat!(stringify!($len), " characters of A-Z, a-z, 0-9, _ and -"),
                };
                let bytes: [u8; $len] = text.as_bytes().try_into().map_err(|_| bad)?;
                if bytes.iter().copied().all(is_url_safe) { Ok(Self(bytes)) } else { Err(bad) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

random_ascii!(EntryId, 16, "an entry id");
random_ascii!(Epoch, 8, "an epoch");
random_ascii!(Timeline, 6, "a timeline");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_admits_only_its_alphabet() {
        let longest = "a".repeat(64);
        for good in ["a", "Live_2026-11", longest.as_str()] {
            assert_eq!(good.parse::<StreamId>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(65);
        let bad = ["", "a b", "a*", "a?", "[a]", "{a}", "a:b", "a\r\n", "a\0", "é", "a/b", "a.b", &too_long];
        for bad in bad {
            assert!(bad.parse::<StreamId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_differ_and_read_back() {
        let (a, b) = (EntryId::random(), EntryId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<EntryId>().unwrap(), a);
        let epoch = Epoch::random();
        assert_eq!(epoch.to_string().parse::<Epoch>().unwrap(), epoch);
        assert!("short".parse::<Epoch>().is_err());
        assert!("sixteen chars é!".parse::<EntryId>().is_err());
    }
}
