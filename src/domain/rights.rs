//! Who somebody is, and what follows from it.

use serde::Serialize;

use super::{Author, Kind, Refusal, StreamPatterns, rules};

/// One thing that a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// See the stream's comments.
    Watch,
    /// Post comments.
    Post,
    /// Keep order in the stream.
    Moderate,
}

impl Right {
    const ALL: [Self; 3] = [Self::Watch, Self::Post, Self::Moderate];

    const fn bit(self) -> u8 {
        match self {
            Self::Watch => 1,
            Self::Post => 2,
            Self::Moderate => 4,
        }
    }

    /// The right of this name; none for a name of a newer version.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "watch" => Some(Self::Watch),
            "post" => Some(Self::Post),
            "moderate" => Some(Self::Moderate),
            _ => None,
        }
    }
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Watching and posting: what anybody may where there are no keys.
    pub const OPEN: Self = Self(Right::Watch.bit() | Right::Post.bit());
    /// Watching alone.
    pub const WATCH: Self = Self(Right::Watch.bit());

    /// Whether this right is among them.
    #[must_use]
    pub const fn have(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// The rights as a list, as `hello` tells them.
    #[must_use]
    pub fn list(self) -> Vec<Right> {
        Right::ALL.into_iter().filter(|right| self.have(*right)).collect()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

/// Somebody who watches. Where there are no keys they are whoever they say; a comment never says more than this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The user, as shown on their comments; `author.id` is the `sub` of idempotency.
    pub author: Author,
    /// What they may do.
    pub rights: Rights,
    /// Where they may do it.
    pub streams: StreamPatterns,
}

/// A backend that posts by REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name of its key.
    pub name: String,
    /// What it may post.
    pub kinds: Vec<Kind>,
    /// Where it may post, and what it may read.
    pub streams: StreamPatterns,
}

/// Whoever posts.
#[derive(Debug, Clone, Copy)]
pub enum Poster<'a> {
    /// A viewer: posts comments, as themselves.
    Viewer(&'a Viewer),
    /// A service: posts the kinds of its key, in any author's name.
    Service(&'a Service),
}

impl Viewer {
    /// A viewer of a pod that knows no keys: whoever they say they are, or their session.
    ///
    /// # Errors
    /// [`Refusal`] if the name is not fit to be shown.
    pub fn open(name: Option<&str>, session: &str) -> Result<Self, Refusal> {
        let author = match name {
            Some(name) => rules::author(Author { id: name.to_owned(), name: name.to_owned() })?,
            None => Author { id: session.to_owned(), name: "guest".to_owned() },
        };
        Ok(Self { author, rights: Rights::OPEN, streams: StreamPatterns::ALL })
    }

    /// A viewer of a token, by its user's id and name. A name that is not fit to be shown is shortened, or the id takes its
    /// place.
    ///
    /// # Errors
    /// [`Refusal`] if the id is not fit to be shown.
    pub fn vouched(
        id: String,
        name: Option<&str>,
        rights: Rights,
        streams: StreamPatterns,
    ) -> Result<Self, Refusal> {
        Ok(Self { author: rules::vouched_author(id, name)?, rights, streams })
    }
}

impl Service {
    /// Any backend, of a pod that knows no keys.
    #[must_use]
    pub fn open() -> Self {
        Self { name: "open".to_owned(), kinds: Kind::ALL.to_vec(), streams: StreamPatterns::ALL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_what_was_given_and_nothing_else() {
        let rights: Rights = ["post", "moderate", "rule"].into_iter().filter_map(Right::named).collect();
        assert_eq!(rights.list(), [Right::Post, Right::Moderate]);
        assert!(!rights.have(Right::Watch));
        assert_eq!(Rights::from_iter([]).list(), []);
        assert_eq!(Rights::OPEN.list(), [Right::Watch, Right::Post]);
    }
}
