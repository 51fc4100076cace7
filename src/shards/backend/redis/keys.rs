//! What things are called on a shard: keys and channels.

use crate::{
    domain::{IdempotencyKey, StreamId},
    telemetry::Traceparent,
};

/// The name of a stream on its shard: its channel, and the beginning of its keys.
///
/// The braces make it a hash tag, so that a stream's keys would stay together in any setup that hashes keys.
pub(super) fn of_stream(stream: &StreamId) -> String {
    format!("ff:{{{stream}}}")
}

/// The stream whose channel this is, if it is one's.
pub(super) fn stream_of(channel: &str) -> Option<StreamId> {
    channel.strip_prefix("ff:{")?.strip_suffix('}')?.parse().ok()
}

/// The name of a post that makes its repetition harmless.
pub(super) fn of_key(key: &IdempotencyKey) -> String {
    // An id has no newline: whatever the owner's name holds, its end is where the last one is.
    format!("{}\n{}", key.owner, key.id.as_str())
}

/// The key that names a post's span to the function; no such key is ever read or written.
pub(super) fn of_trace(trace: &Traceparent) -> String {
    format!("ff:trace:{trace}")
}

/// The channel on which a pod hears itself, to know that its subscriptions live.
pub(super) fn of_probe(pod: &str) -> String {
    format!("ff:probe:{pod}")
}

/// The key under which pods are listed that tell how many viewers they have.
pub(super) const AUDIENCE: &str = "ff:audience";

/// The channel on which a pod is told how many watch its streams elsewhere, and the key of what it told itself.
pub(super) fn of_audience(member: &str) -> String {
    format!("{AUDIENCE}:{member}")
}

/// The key under which the pods of a track tell each other how they fare.
pub(super) fn of_fleet(track: &str) -> String {
    format!("ff:fleet:{track}")
}

/// The key under which a shard keeps revocations of users' tokens.
pub(super) const REVOKED: &str = "ff:revoked";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_leads_back_to_its_stream_and_no_other_channel_does() {
        let stream: StreamId = "Live_2026-11".parse().unwrap();
        assert_eq!(of_stream(&stream), "ff:{Live_2026-11}");
        assert_eq!(stream_of(&of_stream(&stream)), Some(stream));
        for stranger in ["", "ff:{}", "ff:{a", "ff:a", "gg:{a}", "ff:{a b}", "ff:{a}:m", &of_probe("pod-1")] {
            assert_eq!(stream_of(stranger), None, "{stranger}");
        }
    }
}
