//! Comments: what is posted, before and after it is accepted.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use super::{EntryId, PostId};

/// What sort of comment it is; only services post others than [`Kind::Comment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A viewer's words.
    Comment,
    /// A paid gift.
    Gift,
    /// Somebody follows the streamer.
    Follow,
    /// A mission was reached.
    Mission,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Comment, Self::Gift, Self::Follow, Self::Mission];

    /// The kind's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Gift => "gift",
            Self::Follow => "follow",
            Self::Mission => "mission",
        }
    }
}

/// Reads a name and nothing else: a derived one also reads `{"gift": null}`.
impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 4] =
            [Kind::ALL[0].name(), Kind::ALL[1].name(), Kind::ALL[2].name(), Kind::ALL[3].name()];
        let name = String::deserialize(deserializer)?;
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

/// Who is shown as having posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// The app's id of the user, or a service's name.
    pub id: String,
    /// The name to display.
    pub name: String,
}

/// A comment that somebody asks to post; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The poster's idempotency id.
    pub id: Option<PostId>,
    /// What sort of comment it is.
    pub kind: Kind,
    /// The author to show; only services may name one.
    pub author: Option<Author>,
    /// The text; a comment must have one.
    pub body: Option<String>,
    /// Anything for the app, such as a gift's item and amount; only services may send it.
    pub data: Option<Map<String, Value>>,
}

impl Draft {
    /// A viewer's plain comment.
    #[must_use]
    pub fn comment(body: impl Into<String>) -> Self {
        Self { id: None, kind: Kind::Comment, author: None, body: Some(body.into()), data: None }
    }
}

/// A comment that was accepted and now wants its place in the stream's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// The server's random name for it.
    pub id: EntryId,
    /// What sort of comment it is.
    pub kind: Kind,
    /// Who is shown as having posted it.
    pub author: Author,
    /// The text, cleaned; empty where the kind needs none.
    pub body: String,
    /// Anything for the app.
    pub data: Option<Map<String, Value>>,
    /// When the pod accepted it, in milliseconds since the Unix epoch.
    pub accepted_at_ms: u64,
}
