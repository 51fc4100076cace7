//! Which streams somebody may use.

use super::StreamId;

/// A pattern of stream names that does not have its documented form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("streams are names, beginnings of names followed by *, or * for all")]
pub struct BadPattern;

/// The streams that a token or a key is for: names, and beginnings of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPatterns(Scope);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    All,
    Some(Box<[Pattern]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(StreamId),
    /// At least one character, of a stream's alphabet.
    Beginning(Box<str>),
}

impl StreamPatterns {
    /// All of them.
    pub const ALL: Self = Self(Scope::All);

    /// Reads a list of patterns: `lobby`, `live-*`, or `*`. An empty list allows nothing.
    ///
    /// # Errors
    /// [`BadPattern`] for the first that is none: a star stands at the end only.
    pub fn parse<T: AsRef<str>>(patterns: &[T]) -> Result<Self, BadPattern> {
        let mut some = Vec::with_capacity(patterns.len());
        let mut all = false;
        for pattern in patterns {
            match pattern.as_ref() {
                "*" => all = true,
                text => some.push(Pattern::parse(text)?),
            }
        }
        Ok(if all { Self::ALL } else { Self(Scope::Some(some.into())) })
    }

    /// Whether the stream is among them.
    #[must_use]
    pub fn allow(&self, stream: &StreamId) -> bool {
        match &self.0 {
            Scope::All => true,
            Scope::Some(patterns) => patterns.iter().any(|pattern| match pattern {
                Pattern::Exactly(name) => name == stream,
                Pattern::Beginning(beginning) => stream.as_str().starts_with(&**beginning),
            }),
        }
    }

    /// Whether no stream is left out.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0 == Scope::All
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        let name: StreamId = text.strip_suffix('*').unwrap_or(text).parse().map_err(|_| BadPattern)?;
        Ok(if text.ends_with('*') { Self::Beginning(name.as_str().into()) } else { Self::Exactly(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_exactly_and_beginnings_match_what_begins_so() {
        let streams = StreamPatterns::parse(&["lobby", "live-*"]).unwrap();
        let allowed = |name: &str| streams.allow(&name.parse().unwrap());
        assert!(["lobby", "live-1", "live-"].into_iter().all(allowed));
        assert!(!["lobby2", "Lobby", "lobb", "live", "xlive-1"].into_iter().any(allowed));
        assert!(StreamPatterns::parse(&["x", "*"]).unwrap().are_all());
        assert!(!StreamPatterns::parse::<&str>(&[]).unwrap().allow(&"lobby".parse().unwrap()));
    }

    #[test]
    fn anything_else_is_no_pattern() {
        for bad in ["", "a b", "**", "a**", "*a", "a*b", "?", "[a]", "a/b", "é", &"a".repeat(65), "live.*"] {
            assert_eq!(StreamPatterns::parse(&[bad]), Err(BadPattern), "{bad:?}");
        }
    }
}
