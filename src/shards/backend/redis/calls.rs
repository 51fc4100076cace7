//! What a shard does when it is asked: the functions' calls, with their arguments in the order that they want.

use std::{collections::HashMap, time::Duration};

use fred::{
    error::{Error, ErrorKind},
    interfaces::ClientLike as _,
    types::Value,
};

use super::{
    BATCH, Inner, Link,
    connection::{SubscriptionChange, command},
    functions::call_of,
    keys, replies,
};
use crate::{
    domain::{Accepted, Epoch, Kind, Position, PublishError, StreamId},
    readiness::{FleetView, Heartbeat, LeaseRequest},
    shards::backend::types::{
        Audience, AudienceCount, ConnectionId, Counted, HistorySlice, KindCounts, MOST_REVOCATIONS, Post,
        Revocation, Seen, SliceRange, Unavailable,
    },
};

/// Asks for the timelines of a history as well.
const TIMELINES: &str = "timelines";

/// Each answers within about a second, or says [`Unavailable`].
impl Link {
    /// Gives a comment its place, in one atomic step.
    ///
    /// # Errors
    /// [`PublishError`]; after `Unavailable` the comment may or may not be in the stream.
    pub(in crate::shards) async fn publish(
        &self,
        stream: &StreamId,
        post: Post,
    ) -> Result<Accepted, PublishError> {
        let Inner { posting, history_entries, history_ttl_ms, .. } = &*self.0;
        let trace = post.trace.as_ref().map(keys::of_trace);
        let keys: Vec<_> = [keys::of_stream(stream)].into_iter().chain(trace).collect();
        let args = || {
            let mut args: Vec<Value> = vec![
                post.ring_epoch.to_string().into(),
                post.candidate_epoch.as_str().into(),
                post.id.as_str().into(),
                post.kind.name().into(),
                post.accepted_at_ms.to_string().into(),
                Value::Bytes(post.fragment.bytes().clone()),
                (*history_entries).into(),
                (*history_ttl_ms).into(),
            ];
            if let Some(key) = &post.key {
                args.push(keys::of_key(key).into());
                args.push(format!("{:016x}", key.digest).into());
            }
            call_of("fanfare_publish", &keys, args)
        };
        replies::accepted(posting.call(args).await.map_err(|Unavailable| PublishError::Unavailable)?)
    }

    /// Gives comments their places in this order, in one call and up to the first that fails. Returns an answer for each.
    pub(in crate::shards) async fn publish_all(
        &self,
        stream: &StreamId,
        posts: &[Post],
    ) -> Vec<Result<Accepted, PublishError>> {
        let Inner { posting, history_entries, history_ttl_ms, .. } = &*self.0;
        let Some(first) = posts.first() else { return Vec::new() };
        let keys = [keys::of_stream(stream)];
        let args = || {
            let mut args: Vec<Value> = vec![
                first.ring_epoch.to_string().into(),
                first.candidate_epoch.as_str().into(),
                (*history_entries).into(),
                (*history_ttl_ms).into(),
            ];
            for post in posts {
                let key = post.key.as_ref();
                args.extend([
                    post.id.as_str().into(),
                    post.kind.name().into(),
                    post.accepted_at_ms.to_string().into(),
                    Value::Bytes(post.fragment.bytes().clone()),
                    post.trace.as_ref().map(ToString::to_string).unwrap_or_default().into(),
                    key.map(keys::of_key).unwrap_or_default().into(),
                    key.map(|key| format!("{:016x}", key.digest)).unwrap_or_default().into(),
                ]);
            }
            call_of("fanfare_publish_all", &keys, args)
        };
        let (answers, failure) = posting.call(args).await.map(replies::accepted_all).unwrap_or_default();
        if let Some(failure) = failure {
            posting.log_refusal(&Error::new(ErrorKind::Unknown, failure));
        }
        let rest = std::iter::repeat(Err(PublishError::Unavailable));
        answers.into_iter().chain(rest).take(posts.len()).collect()
    }

    /// Reads a part of the history; a stream without one gets `candidate` as its epoch.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn read(
        &self,
        stream: &StreamId,
        span: SliceRange,
        candidate: Epoch,
    ) -> Result<HistorySlice, Unavailable> {
        let keys = [keys::of_stream(stream)];
        let part = |epoch: &Epoch| -> Vec<Value> {
            let newest = i64::try_from(span.newest).unwrap_or(i64::MAX);
            vec![span.after_seq.to_string().into(), newest.into(), epoch.as_str().into()]
        };
        let args = || {
            let mut args = part(&candidate);
            args.push(self.0.history_ttl_ms.into());
            args.push(TIMELINES.into());
            call_of("fanfare_read", &keys, args)
        };
        // Not kept by the shard, and so the same one each time: else each look at an empty stream were a reset.
        let read_only = || {
            let mut args = part(&self.0.unkept_epoch);
            args.push(TIMELINES.into());
            call_of("fanfare_peek", &keys, args)
        };
        replies::slice(self.0.reading.read(args, read_only).await?)
    }

    /// Where the order of each stream stands; none for a stream without a history.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn heads(
        &self,
        streams: &[StreamId],
    ) -> Result<Vec<Option<Position>>, Unavailable> {
        let mut heads = Vec::with_capacity(streams.len());
        for batch in streams.chunks(BATCH) {
            let keys: Vec<String> = batch.iter().map(keys::of_stream).collect();
            let args = || call_of("fanfare_heads", &keys, vec![self.0.history_ttl_ms.into()]);
            let read_only = || call_of("fanfare_peek_heads", &keys, Vec::new());
            heads.extend(replies::heads(self.0.reading.read(args, read_only).await?, batch.len())?);
        }
        Ok(heads)
    }

    /// How many comments the stream's history took; none for a stream without one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn tally(
        &self,
        stream: &StreamId,
    ) -> Result<Option<KindCounts>, Unavailable> {
        let keys = [keys::of_stream(stream)];
        let kinds = [Kind::Comment, Kind::Gift, Kind::Follow, Kind::Mission];
        let args = || call_of("fanfare_tally", &keys, kinds.iter().map(|kind| kind.name().into()).collect());
        replies::tally(self.0.reading.call(args).await?)
    }

    /// Tells who watches on this pod; answers who does elsewhere. `keeps` renews what is remembered of the streams.
    ///
    /// # Errors
    /// [`Unavailable`]: the counts may or may not have been taken.
    pub(in crate::shards) async fn count(
        &self,
        counts: &[AudienceCount],
        keeps: bool,
    ) -> Result<Counted, Unavailable> {
        let Inner { reading, member, history_ttl_ms, .. } = &*self.0;
        let keys = [keys::AUDIENCE.to_owned()];
        let args = || {
            let mut args: Vec<Value> =
                vec![member.as_str().into(), (*history_ttl_ms).into(), i64::from(keeps).into()];
            for AudienceCount { stream, viewers, users } in counts {
                let users: Vec<String> = users.iter().map(|user| format!("{user:016x}")).collect();
                args.extend([stream.as_str().into(), viewers.to_string().into(), users.join(" ").into()]);
            }
            call_of("fanfare_count", &keys, args)
        };
        replies::counted(reading.call(args).await?, counts.len())
    }

    /// Takes this pod out of those that count viewers. Returns whether counts of pods that are gone are left.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn uncount(&self) -> Result<bool, Unavailable> {
        let keys = [keys::AUDIENCE.to_owned()];
        let args = || call_of("fanfare_uncount", &keys, vec![self.0.member.as_str().into()]);
        let left = self.0.reading.call(args).await?;
        Ok(left.as_str().is_none_or(|left| left != "0"))
    }

    /// Who watches and watched a stream, this pod's viewers not among those who watch.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn audience(&self, stream: &StreamId) -> Result<Audience, Unavailable> {
        let keys = [keys::of_stream(stream)];
        let args = || call_of("fanfare_audience", &keys, vec![self.0.member.as_str().into()]);
        let read_only = || call_of("fanfare_peek_audience", &keys, vec![self.0.member.as_str().into()]);
        match replies::audience(self.0.reading.read(args, read_only).await?)? {
            (audience, true) => Ok(audience),
            (audience, false) => Ok(Audience { users: self.users(stream).await?, ..audience }),
        }
    }

    /// About how many users watched a stream, asked without a function.
    async fn users(&self, stream: &StreamId) -> Result<u64, Unavailable> {
        let life = self.0.reading.wire.life().await?;
        let key = format!("{}:u", keys::of_stream(stream));
        Box::pin(life.client.custom(command("PFCOUNT"), vec![key])).await.map_err(|_| Unavailable)
    }

    /// Tells the pods of a track how this one fares, and asks for what it wishes, in one atomic step.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn beat(
        &self,
        beat: &Heartbeat,
        ring_epoch: u64,
    ) -> Result<FleetView, Unavailable> {
        let keys = [keys::of_fleet(&beat.track)];
        let args = || {
            let request = match beat.request {
                LeaseRequest::Stay => "stay",
                LeaseRequest::Leave => "leave",
                LeaseRequest::Gone => "gone",
            };
            let args = vec![
                beat.pod.as_str().into(),
                request.into(),
                format!("{:.3}", beat.cpu).into(),
                format!("{:.3}", beat.high).into(),
                beat.viewers.to_string().into(),
                i64::from(beat.ready).into(),
                ring_epoch.to_string().into(),
            ];
            call_of("fanfare_beat", &keys, args)
        };
        replies::fleet(self.0.reading.call(args).await?)
    }

    /// The pods of a track, and when each reported last.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn track(&self, track: &str) -> Result<Seen, Unavailable> {
        let life = self.0.reading.wire.life().await?;
        let asked = life.client.custom(command("HGETALL"), vec![keys::of_fleet(track)]);
        let pods: HashMap<String, String> = Box::pin(asked).await.map_err(|_| Unavailable)?;
        Ok(replies::seen(pods))
    }

    /// Keeps a revocation of a user's tokens, for as long as tokens live.
    ///
    /// # Errors
    /// [`Unavailable`]: it may be kept or not.
    pub(in crate::shards) async fn revoke(&self, user: &str, keep: Duration) -> Result<(), Unavailable> {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let args =
            || call_of("fanfare_revoke", &[keys::REVOKED.to_owned()], vec![user.into(), keep_ms.into()]);
        self.0.reading.call(args).await.map(drop)
    }

    /// The next revocations after a place.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(in crate::shards) async fn revocations(&self, after: &str) -> Result<Vec<Revocation>, Unavailable> {
        let most = i64::try_from(MOST_REVOCATIONS).unwrap_or(i64::MAX);
        let args =
            || call_of("fanfare_revoked", &[keys::REVOKED.to_owned()], vec![after.into(), most.into()]);
        replies::revocations(self.0.reading.call(args).await?)
    }

    /// Subscribes to streams; the answer names the connection on which all of them are now in force.
    ///
    /// # Errors
    /// [`Unavailable`]: some of them may be in force.
    pub(in crate::shards) async fn subscribe(
        &self,
        streams: &[StreamId],
    ) -> Result<ConnectionId, Unavailable> {
        let life = self.0.subscribing.life().await?;
        self.set_interest(&life, SubscriptionChange::Begin, streams).await?;
        Ok(life.id)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// [`Unavailable`]: some of them may be in force still.
    pub(in crate::shards) async fn unsubscribe(&self, streams: &[StreamId]) -> Result<(), Unavailable> {
        match self.0.subscribing.living() {
            Some(life) => self.set_interest(&life, SubscriptionChange::End, streams).await,
            // Subscriptions end with their connection.
            None => Ok(()),
        }
    }
}
