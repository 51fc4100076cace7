//! Posting: every post passes here, and comes out accepted or refused.

use std::future::Future;

use tracing::Instrument as _;

use super::{Author, Comment, Draft, EntryId, Kind, PostId, Poster, Refusal, Right, StreamId, now_ms, rules};
use crate::telemetry::{CallerSpan, PostOutcome, Sli, Traceparent, post_span};

/// Makes a repeated post harmless: the same author, id and content is the same comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who posts: two posters never collide, and a service never collides with a user of its name.
    pub owner: String,
    /// The poster's id of the comment.
    pub id: PostId,
    /// What the comment says; another content under the same id is refused.
    pub digest: u64,
}

/// A comment's place, once it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The server's id of the comment; the first one's, for a repeated post.
    pub id: EntryId,
    /// Its number in the stream's epoch.
    pub seq: u64,
    /// Whether it was there already, from an earlier post with the same idempotency id.
    pub duplicate: bool,
}

/// Why a shard did not take a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The idempotency id was used for another content.
    #[error("idempotency id reused")]
    IdReused,
    /// The shard did not answer; the comment may or may not be in the stream.
    #[error("the shard did not answer")]
    Unavailable,
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::IdReused => Self::IdReused,
            PublishError::Unavailable => Self::ShardUnavailable,
        }
    }
}

/// A comment that is ready to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The comment.
    pub comment: Comment,
    /// Makes a repetition harmless.
    pub key: Option<IdempotencyKey>,
    /// The span of the post, if it is traced.
    pub trace: Option<Traceparent>,
}

/// Gives a comment its place in the stream's order and sends it to every pod that watches.
pub trait Publish: Send + Sync {
    /// Publishes one comment.
    ///
    /// # Errors
    /// [`PublishError`], where the outcome may be unknown.
    fn publish(
        &self,
        stream: &StreamId,
        publication: Publication,
    ) -> impl Future<Output = Result<Accepted, PublishError>> + Send;

    /// Publishes comments of one stream in their order. Returns an answer for each: the first that is
    /// [`PublishError::Unavailable`] ends the row, and whatever stands behind it is not published before it.
    fn publish_all(
        &self,
        stream: &StreamId,
        publications: Vec<Publication>,
    ) -> impl Future<Output = Vec<Result<Accepted, PublishError>>> + Send;
}

/// Takes drafts, applies the rules, and hands what passes to the stream's shard.
#[derive(Debug, Clone)]
pub struct Posting<P> {
    shards: P,
    sli: Sli,
}

impl<P: Publish> Posting<P> {
    /// Posts to these shards.
    pub const fn new(shards: P, sli: Sli) -> Self {
        Self { shards, sli }
    }

    /// Posts a draft in a stream.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was posted, except that after [`Refusal::ShardUnavailable`] the outcome is unknown.
    pub async fn post(
        &self,
        poster: Poster<'_>,
        stream: &StreamId,
        draft: Draft,
    ) -> Result<Accepted, Refusal> {
        self.post_for(None, poster, stream, draft).await
    }

    /// Posts a draft in a stream, as a part of the caller's trace if there is one.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn post_for(
        &self,
        caller: Option<CallerSpan>,
        poster: Poster<'_>,
        stream: &StreamId,
        draft: Draft,
    ) -> Result<Accepted, Refusal> {
        let span = post_span(caller, stream, draft.kind.name());
        let answer = self.accept_and_publish(poster, stream, draft).instrument(span).await;
        self.count(&answer);
        answer
    }

    fn count(&self, answer: &Result<Accepted, Refusal>) {
        self.sli.posted(match answer {
            Ok(accepted) if accepted.duplicate => PostOutcome::Duplicate,
            Ok(_) => PostOutcome::Acked,
            Err(Refusal::ShardUnavailable) => PostOutcome::Unknown,
            Err(_) => PostOutcome::Refused,
        });
    }

    /// Posts drafts in a stream in their order, each as a part of the caller's trace if there is one. Returns an answer
    /// for each. After [`Refusal::ShardUnavailable`] the drafts behind it were not posted, or in their order.
    pub async fn post_all(
        &self,
        caller: Option<&CallerSpan>,
        poster: Poster<'_>,
        stream: &StreamId,
        drafts: Vec<Draft>,
    ) -> Vec<Result<Accepted, Refusal>> {
        let (mut spans, mut publications) = (Vec::new(), Vec::new());
        let mut prepare = |draft: Draft| {
            let span = post_span(caller.cloned(), stream, draft.kind.name());
            let prepared = span.in_scope(|| {
                let (comment, key) = accept(poster, stream, draft)?;
                publications.push(Publication { comment, key, trace: Traceparent::current() });
                Ok(())
            });
            spans.push(span);
            prepared
        };
        let prepared: Vec<Result<(), Refusal>> = drafts.into_iter().map(&mut prepare).collect();
        let mut published = self.shards.publish_all(stream, publications).await.into_iter();
        drop(spans);
        let answer = |prepared: Result<(), Refusal>| {
            prepared?;
            published.next().unwrap_or(Err(PublishError::Unavailable)).map_err(Refusal::from)
        };
        let answers: Vec<_> = prepared.into_iter().map(answer).collect();
        answers.iter().for_each(|answer| self.count(answer));
        answers
    }

    /// Counts a post that was refused before it came here.
    pub fn count_refused(&self) {
        self.sli.posted(PostOutcome::Refused);
    }

    async fn accept_and_publish(
        &self,
        poster: Poster<'_>,
        stream: &StreamId,
        draft: Draft,
    ) -> Result<Accepted, Refusal> {
        let (comment, key) = accept(poster, stream, draft)?;
        let publication = Publication { comment, key, trace: Traceparent::current() };
        Ok(self.shards.publish(stream, publication).await?)
    }
}

fn accept(
    poster: Poster<'_>,
    stream: &StreamId,
    draft: Draft,
) -> Result<(Comment, Option<IdempotencyKey>), Refusal> {
    let (author, owner) = match poster {
        Poster::Viewer(viewer) => {
            if !viewer.streams.allow(stream) {
                return Err(Refusal::NotAllowed("this viewer may not use this stream"));
            }
            if !viewer.rights.have(Right::Post) {
                return Err(Refusal::NotAllowed("this viewer may not post"));
            }
            if draft.kind != Kind::Comment || draft.author.is_some() || draft.data.is_some() {
                return Err(Refusal::NotAllowed("a viewer posts comments, as themselves and without data"));
            }
            (viewer.author.clone(), format!("v:{}", viewer.author.id))
        }
        Poster::Service(service) => {
            if !service.kinds.contains(&draft.kind) || !service.streams.allow(stream) {
                return Err(Refusal::NotAllowed("this key may not post this kind in this stream"));
            }
            let own = || Author { id: service.name.clone(), name: service.name.clone() };
            let author = draft.author.map_or_else(|| Ok(own()), rules::author)?;
            (author, format!("s:{}", service.name))
        }
    };
    let body = match (&draft.body, draft.kind) {
        (Some(raw), Kind::Comment) => rules::body(raw)?,
        (None, Kind::Comment) => return Err(Refusal::BadRequest("a comment needs a body")),
        (raw, _) => rules::caption(raw.as_deref().unwrap_or_default())?,
    };
    match (&draft.data, draft.kind) {
        (Some(data), _) => rules::data(data)?,
        (None, Kind::Gift) => {
            return Err(Refusal::BadRequest("a gift needs data, such as its item and amount"));
        }
        (None, _) => {}
    }
    let comment = Comment {
        id: EntryId::random(),
        kind: draft.kind,
        author,
        body,
        data: draft.data,
        accepted_at_ms: now_ms(),
    };
    let key = draft.id.map(|id| IdempotencyKey { owner, id, digest: digest(&comment) });
    Ok((comment, key))
}

/// Accepts or refuses as [`Posting::post`] does: the comment, and who owns its idempotency id.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn fuzz_accept(poster: Poster<'_>, draft: Draft) -> Option<(Comment, Option<String>)> {
    let stream = "fuzz".parse().ok()?;
    accept(poster, &stream, draft).ok().map(|(comment, key)| (comment, key.map(|key| key.owner)))
}

/// A digest of what the poster said, equal on every pod and in every version: FNV-1a, 64 bits.
///
/// It tells an honest retry from an honest mistake; a poster who forges a collision fools only their own key.
fn digest(comment: &Comment) -> u64 {
    let data = comment.data.as_ref().map(|data| serde_json::to_string(data).unwrap_or_default());
    let parts = [comment.kind.name(), &comment.author.id, &comment.body, data.as_deref().unwrap_or_default()];
    // No part holds a NUL, so that the separator keeps their borders apart.
    parts.iter().flat_map(|part| part.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::domain::{Rights, Service, StreamPatterns, Viewer};

    fn lobby() -> StreamId {
        "lobby".parse().unwrap()
    }

    fn viewer(rights: Rights) -> Viewer {
        let author = Author { id: "u1".into(), name: "Ann".into() };
        Viewer { author, rights, streams: StreamPatterns::ALL }
    }

    #[test]
    fn a_viewer_posts_comments_as_themselves() {
        let ann = viewer(Rights::OPEN);
        let (comment, key) = accept(Poster::Viewer(&ann), &lobby(), Draft::comment(" hi ")).unwrap();
        assert_eq!((comment.author, comment.body.as_str(), comment.kind), (ann.author, "hi", Kind::Comment));
        assert_eq!(key, None);
    }

    /// G13: no draft of a viewer becomes another kind, author or carries data.
    #[test]
    fn g13_a_viewer_cannot_forge() {
        let ann = viewer(Rights::OPEN);
        let plain = Draft::comment("hi");
        let forged = [
            Draft { kind: Kind::Gift, ..plain.clone() },
            Draft { author: Some(Author { id: "u2".into(), name: "Bob".into() }), ..plain.clone() },
            Draft { data: Some(Map::new()), ..plain.clone() },
        ];
        for draft in forged {
            assert!(matches!(accept(Poster::Viewer(&ann), &lobby(), draft), Err(Refusal::NotAllowed(_))));
        }
        let watcher = viewer(Rights::WATCH);
        let elsewhere = Viewer { streams: StreamPatterns::parse(&["cinema"]).unwrap(), ..ann };
        for viewer in [&watcher, &elsewhere] {
            let refused = accept(Poster::Viewer(viewer), &lobby(), plain.clone());
            assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        }
    }

    #[test]
    fn a_service_posts_the_kinds_of_its_key_in_its_streams_and_in_any_name() {
        let shop = Service { name: "shop".into(), ..Service::open() };
        let gift = Draft { kind: Kind::Gift, body: None, data: Some(Map::new()), ..Draft::comment("") };
        let (comment, _) = accept(Poster::Service(&shop), &lobby(), gift.clone()).unwrap();
        assert_eq!((comment.author.id.as_str(), comment.body.as_str()), ("shop", ""));
        let nothing = Draft { body: None, ..Draft::comment("") };
        // Symptom: apps showed "null × null". Cause: a gift was taken without saying what is given.
        let of_nothing = Draft { data: None, ..gift.clone() };
        for draft in [nothing, of_nothing] {
            let refused = accept(Poster::Service(&shop), &lobby(), draft);
            assert!(matches!(refused, Err(Refusal::BadRequest(_))));
        }
        let bell = Service { kinds: vec![Kind::Follow, Kind::Comment], ..shop.clone() };
        let cinema = Service { streams: StreamPatterns::parse(&["cinema*"]).unwrap(), ..shop };
        for service in [bell, cinema] {
            let refused = accept(Poster::Service(&service), &lobby(), gift.clone());
            assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        }
    }

    #[test]
    fn keys_of_two_owners_never_collide_and_the_digest_is_of_the_content() {
        let id: PostId = "a1".parse().unwrap();
        let draft = |body: &str| Draft { id: Some(id.clone()), ..Draft::comment(body) };
        let ann = viewer(Rights::OPEN);
        let service = Service { name: "u1".into(), ..Service::open() };
        let key = |poster: Poster<'_>, body: &str| accept(poster, &lobby(), draft(body)).unwrap().1.unwrap();
        let first = key(Poster::Viewer(&ann), "hi");
        assert_eq!(first, key(Poster::Viewer(&ann), "hi"));
        assert_ne!(first.digest, key(Poster::Viewer(&ann), "ho").digest);
        assert_ne!(first.owner, key(Poster::Service(&service), "hi").owner);
    }
}
