//! Who somebody is, and what follows from it.

use serde::Serialize;

use super::{Author, Refusal, rules};

/// One thing that a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// See the stream's comments.
    Watch,
    /// Post comments.
    Post,
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    post: bool,
}

impl Rights {
    /// Watching and posting.
    pub const ALL: Self = Self { post: true };
    /// Watching alone.
    pub const WATCH: Self = Self { post: false };

    /// Whether posting is among them.
    #[must_use]
    pub const fn may_post(self) -> bool {
        self.post
    }

    /// The rights as a list, as `hello` tells them.
    #[must_use]
    pub fn list(self) -> Vec<Right> {
        let post = self.post.then_some(Right::Post);
        std::iter::once(Right::Watch).chain(post).collect()
    }
}

/// Somebody who watches. Where there are no keys they are whoever they say; a comment never says more than this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The user, as shown on their comments; `author.id` is the `sub` of idempotency.
    pub author: Author,
    /// What they may do.
    pub rights: Rights,
}

/// A backend that posts by REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name of its key.
    pub name: String,
}

/// Whoever posts.
#[derive(Debug, Clone, Copy)]
pub enum Poster<'a> {
    /// A viewer: posts comments, as themselves.
    Viewer(&'a Viewer),
    /// A service: posts any kind, in any author's name.
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
        Ok(Self { author, rights: Rights::ALL })
    }
}
