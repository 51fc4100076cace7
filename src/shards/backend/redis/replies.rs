//! What the functions' answers say.

use std::collections::HashMap;

use fred::types::Value;

use crate::{
    domain::{Accepted, Position, PublishError, StreamId, Timeline},
    protocol::Entry,
    readiness::{FleetView, LeaseDecision},
    shards::backend::types::{
        Audience, Counted, FormerTimeline, HistorySlice, KindCounts, Revocation, Seen, Unavailable,
    },
};

fn texts(value: Value) -> Vec<bytes::Bytes> {
    let items = match value {
        Value::Array(items) => items,
        _ => return Vec::new(),
    };
    items.into_iter().filter_map(|item| item.into_bytes_str().map(|text| text.into_inner())).collect()
}

fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The answer to `fanfare_publish`.
pub(super) fn accepted(value: Value) -> Result<Accepted, PublishError> {
    let words = texts(value);
    let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
    let (duplicate, seq, id) = match words[..] {
        [b"reused"] => return Err(PublishError::IdReused),
        [b"ok", seq, id] => (false, seq, id),
        [b"duplicate", seq, id] => (true, seq, id),
        _ => return Err(PublishError::Unavailable),
    };
    match (parse(seq), parse(id)) {
        (Some(seq), Some(id)) => Ok(Accepted { id, seq, duplicate }),
        _ => Err(PublishError::Unavailable),
    }
}

/// The answer to `fanfare_publish_all`: one for each post up to the first that failed, and the words of that failure.
pub(super) fn accepted_all(value: Value) -> (Vec<Result<Accepted, PublishError>>, Option<String>) {
    let Value::Array(items) = value else { return <_>::default() };
    let failure = items.last().cloned().map(texts).filter(|words| words.len() == 2 && words[0] == "error");
    let failure = failure.map(|words| String::from_utf8_lossy(&words[1]).into_owned());
    (items.into_iter().map(accepted).collect(), failure)
}

fn position(words: &[bytes::Bytes]) -> Option<Position> {
    let [epoch, seq, id, ..] = words else { return None };
    match (parse(epoch)?, parse(seq)?) {
        (epoch, 0) => Some(Position::start_of(epoch)),
        (epoch, seq) => Some(Position::after(epoch, seq, parse(id)?)),
    }
}

/// The answer to `fanfare_read`: the head, its timelines, and the newest entries that lead to it without a hole.
pub(super) fn slice(value: Value) -> Result<HistorySlice, Unavailable> {
    let words = texts(value);
    let head = position(&words).ok_or(Unavailable)?;
    let mut envelopes = &words[3..];
    let (mut timeline, mut former) = (None, Vec::new());
    // Left out by a shard that still has the functions of an earlier version.
    if let Some(timelines) = envelopes.first().and_then(|word| word.strip_prefix(b"@")) {
        (timeline, former) = timelines_in(timelines).ok_or(Unavailable)?;
        envelopes = &envelopes[1..];
    }
    let head = head.on(timeline);
    let mut entries = Vec::with_capacity(envelopes.len());
    let mut place = head;
    for envelope in envelopes {
        match Entry::decode(envelope) {
            Ok(entry) if entry.position() == place => {
                place = entry.before();
                entries.push(entry);
            }
            // An older history than meta's, or no history of ours: whoever asked sees that it is short.
            _ => break,
        }
    }
    entries.reverse();
    Ok(HistorySlice { head, former, entries })
}

/// The present timeline and the former ones: `<timeline or ~>[ ^<timeline or ~>=<end> ...]`.
fn timelines_in(text: &[u8]) -> Option<(Option<Timeline>, Vec<FormerTimeline>)> {
    let name = |word: &str| if word == "~" { Some(None) } else { word.parse().ok().map(Some) };
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let present = name(words.next()?)?;
    let former = words.map(|word| {
        let (timeline, end) = word.strip_prefix('^')?.split_once('=')?;
        Some(FormerTimeline { timeline: name(timeline)?, end: end.parse().ok()? })
    });
    Some((present, former.collect::<Option<_>>()?))
}

/// The answer to `fanfare_heads`.
pub(super) fn heads(value: Value, asked: usize) -> Result<Vec<Option<Position>>, Unavailable> {
    match value {
        Value::Array(items) if items.len() == asked => {
            Ok(items.into_iter().map(|item| position(&texts(item))).collect())
        }
        _ => Err(Unavailable),
    }
}

/// The answer to `fanfare_tally`, asked for the kinds in the order of [`KindCounts`]'s fields.
pub(super) fn tally(value: Value) -> Result<Option<KindCounts>, Unavailable> {
    let counts: Option<Vec<u64>> = texts(value).iter().map(|word| parse(word)).collect();
    match counts.as_deref() {
        Some(&[]) => Ok(None),
        Some(&[comment, gift, follow, mission]) => Ok(Some(KindCounts { comment, gift, follow, mission })),
        _ => Err(Unavailable),
    }
}

/// The answer to `fanfare_count`, asked for so many streams.
pub(super) fn counted(value: Value, asked: usize) -> Result<Counted, Unavailable> {
    let words = texts(value);
    let [done, left, elsewhere @ ..] = &words[..] else { return Err(Unavailable) };
    let is_new = match &done[..] {
        b"later" => return Ok(Counted::Later),
        b"anew" => true,
        b"counted" => false,
        _ => return Err(Unavailable),
    };
    let is_more = &left[..] != b"0";
    let elsewhere: Option<Vec<u64>> = elsewhere.iter().map(|word| parse(word)).collect();
    match elsewhere.filter(|elsewhere| elsewhere.len() == asked) {
        Some(elsewhere) => Ok(Counted::Taken { is_new, is_more, elsewhere }),
        None => Err(Unavailable),
    }
}

/// The answer to `fanfare_audience`, or to `fanfare_peek_audience`, which does not know the users: then `false`.
pub(super) fn audience(value: Value) -> Result<(Audience, bool), Unavailable> {
    let counts: Option<Vec<u64>> = texts(value).iter().map(|word| parse(word)).collect();
    match counts.as_deref() {
        Some(&[elsewhere, peak, users]) => Ok((Audience { elsewhere, peak, users }, true)),
        Some(&[elsewhere, peak]) => Ok((Audience { elsewhere, peak, users: 0 }, false)),
        _ => Err(Unavailable),
    }
}

/// What `fanfare_count` tells a pod of its streams: in each line one, and how many watch it elsewhere. Lines that are
/// not so are nobody's.
pub(super) fn elsewhere(payload: &str) -> Vec<(StreamId, u64)> {
    let line = |line: &str| {
        let (stream, viewers) = line.split_once(' ')?;
        Some((stream.parse().ok()?, viewers.parse().ok()?))
    };
    payload.lines().filter_map(line).collect()
}

/// The answer to `fanfare_beat`.
pub(super) fn fleet(value: Value) -> Result<FleetView, Unavailable> {
    let words = texts(value);
    let [verdict, pods, unready, others_cpu, mean_viewers] = &words[..] else { return Err(Unavailable) };
    Ok(FleetView {
        pods: parse(pods).ok_or(Unavailable)?,
        unready: parse(unready).ok_or(Unavailable)?,
        // Empty where no other pod takes viewers.
        others_cpu: parse(others_cpu),
        mean_viewers: parse(mean_viewers).ok_or(Unavailable)?,
        verdict: if &verdict[..] == b"leave" { LeaseDecision::Leave } else { LeaseDecision::Stay },
    })
}

/// The fields of a track's hash: pods, and when each reported last. A field of another form is passed over.
pub(super) fn seen(pods: HashMap<String, String>) -> Seen {
    let at_ms = |text: &str| text.split(' ').next()?.parse().ok();
    pods.into_iter().filter_map(|(pod, text)| Some((pod, at_ms(&text)?))).collect()
}

/// The answer to `fanfare_revoked`: places and users in turns.
pub(super) fn revocations(value: Value) -> Result<Vec<Revocation>, Unavailable> {
    let Value::Array(_) = value else { return Err(Unavailable) };
    let words = texts(value);
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Unavailable);
    let pairs = words.chunks_exact(2);
    pairs.map(|pair| Ok(Revocation { id: text(&pair[0])?, user: text(&pair[1])? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_other_pods_are_read_and_odd_ones_left_out() {
        let told = elsewhere("a 3\nb\n\nc -1\nd 2 \ne f 4\ng 18446744073709551616\na*b 1\nlast 0");
        let expected = [("a", 3), ("last", 0)].map(|(stream, viewers)| (stream.parse().unwrap(), viewers));
        assert_eq!(told, expected);
    }

    #[test]
    fn an_answer_of_another_form_is_none() {
        let answer = |words: &[&str]| Value::Array(words.iter().map(|word| Value::from(*word)).collect());
        let taken = Counted::Taken { is_new: true, is_more: false, elsewhere: vec![7, 0] };
        assert_eq!(counted(answer(&["anew", "0", "7", "0"]), 2), Ok(taken));
        assert_eq!(counted(answer(&["later", "12"]), 2), Ok(Counted::Later));
        for odd in
            [&[][..], &["anew"], &["counted", "0", "7"], &["what", "0", "7", "0"], &["anew", "0", "x", "0"]]
        {
            assert_eq!(counted(answer(odd), 2), Err(Unavailable), "{odd:?}");
        }
        assert_eq!(audience(answer(&["1"])), Err(Unavailable));
    }
}
