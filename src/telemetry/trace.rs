//! Traces: the span of a post, whose it is part of, the name under which it travels to other pods, and the spans there
//! that link to it.

use std::{
    fmt,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of all spans; the log's filter does not turn them off.
pub(super) const TARGET: &str = "fanfare::trace";

/// Whether spans are made at all. Where they go nowhere, none is made.
static TRACING: AtomicBool = AtomicBool::new(false);
/// Makes the spans whose times are known only at their end.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The attribute of a span `deliver` that tells the milliseconds from the post's acceptance to the last prompt seat.
const LATENCY_MS: &str = "fanfare.delivery.latency_ms";

pub(super) fn begin(tracer: SdkTracer) {
    TRACER.get_or_init(|| tracer);
    TRACING.store(true, Relaxed);
}

/// The name of a sampled span of another pod, as the W3C's `traceparent` header writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: TraceId,
    span: SpanId,
}

/// Not the name of a sampled span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of a sampled span")]
pub struct BadTraceparent;

/// Version 00 and no other: pods write it for pods.
impl FromStr for Traceparent {
    type Err = BadTraceparent;

    fn from_str(text: &str) -> Result<Self, BadTraceparent> {
        let (trace, span, flags) = text.strip_prefix("00-").and_then(named).ok_or(BadTraceparent)?;
        if flags.is_sampled() { Ok(Self { trace, span }) } else { Err(BadTraceparent) }
    }
}

/// What follows the version: `<32 hex digits>-<16 hex digits>-<flags>`, in lower case and not all zeros, see
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn named(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let parts: Vec<_> = text.split('-').filter(|part| is_hex(part)).collect();
    let &[trace, span, flags] = &parts[..] else { return None };
    if text.len() != 52 || trace.len() != 32 || span.len() != 16 {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span, flags))
}

fn is_hex(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The span in which somebody made a request, as the header `traceparent` names it; it may be one that is not sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerSpan(SpanContext);

impl CallerSpan {
    /// Reads the header; none if it cannot be read, which is no fault. Of a version after 00 what 00 has is read, see
    /// <https://www.w3.org/TR/trace-context/#versioning-of-traceparent>.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        let (version, rest) = header.split_at_checked(2).filter(|(version, _)| is_hex(version))?;
        let (known, more) = rest.strip_prefix('-')?.split_at_checked(52)?;
        let may_follow = version != "00" && more.starts_with('-');
        if version == "ff" || !(more.is_empty() || may_follow) {
            return None;
        }
        let (trace, span, flags) = named(known)?;
        Some(Self(SpanContext::new(trace, span, flags, true, TraceState::NONE)))
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

impl Traceparent {
    /// The name of the span that is being worked in, if it is sampled.
    #[must_use]
    pub fn current() -> Option<Self> {
        if !TRACING.load(Relaxed) {
            return None;
        }
        Self::of(&Span::current().context())
    }

    fn of(context: &Context) -> Option<Self> {
        let span = context.span();
        let context = span.span_context();
        context.is_sampled().then(|| Self { trace: context.trace_id(), span: context.span_id() })
    }

    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }
}

/// The span of one post, from its acceptance to its answer; none if nothing is traced. It holds nobody's words or name.
/// With a caller it is part of the caller's trace.
#[must_use]
pub fn post_span(caller: Option<CallerSpan>, stream: &impl fmt::Display, kind: &'static str) -> Span {
    if !TRACING.load(Relaxed) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TARGET, parent: None, "post", otel.kind = "producer", %stream, kind, trace_id = Empty
    );
    if let Some(CallerSpan(caller)) = caller {
        // It fails for a span that nobody records, and then nobody asks for its parent either.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
    }
    note(&span);
    span
}

/// An entry whose post is traced, on its way to this pod's viewers.
#[derive(Debug)]
pub struct TracedEntry {
    post: Traceparent,
    seq: u64,
}

impl TracedEntry {
    /// Returns `None` if nothing is traced.
    #[must_use]
    pub fn new(post: Traceparent, seq: u64) -> Option<Self> {
        TRACING.load(Relaxed).then_some(Self { post, seq })
    }

    /// Makes the span `deliver`: from the entry's arrival on this pod until it was written to the last prompt seat of a
    /// lane, which is now. Its latency, from the post's acceptance on, is an attribute.
    ///
    /// The span links to the post's span; it is no child of it, since many pods deliver, some of them late.
    pub fn written(&self, stream: &impl fmt::Display, since_accepted: Duration, since_came: Duration) {
        let Some(tracer) = TRACER.get() else { return };
        let end = SystemTime::now();
        let latency_ms = i64::try_from(since_accepted.as_millis()).unwrap_or(i64::MAX);
        let attributes = [
            KeyValue::new("stream", stream.to_string()),
            KeyValue::new("seq", i64::try_from(self.seq).unwrap_or(i64::MAX)),
            KeyValue::new(LATENCY_MS, latency_ms),
        ];
        tracer
            .span_builder("deliver")
            .with_kind(SpanKind::Consumer)
            .with_start_time(end - since_came)
            .with_links(vec![Link::with_context(self.post.context())])
            .with_attributes(attributes)
            .start_with_context(tracer, &Context::new())
            .end_with_timestamp(end);
    }
}

/// Puts the trace's id into the span, and so into the log lines that are written in it.
fn note(span: &Span) {
    if let Some(Traceparent { trace, .. }) = Traceparent::of(&span.context()) {
        span.record("trace_id", tracing::field::display(trace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_and_writes_back() {
        assert_eq!(GOLDEN.parse::<Traceparent>().unwrap().to_string(), GOLDEN);
        let with_more_flags = GOLDEN.replace("-01", "-03").parse::<Traceparent>();
        assert_eq!(with_more_flags, GOLDEN.parse());
    }

    #[test]
    fn what_is_not_a_sampled_spans_name_is_none() {
        for text in [
            "",
            "1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c8031-9cb7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<Traceparent>(), Err(BadTraceparent), "{text}");
        }
    }

    #[test]
    fn a_callers_span_is_read_sampled_or_not_and_of_later_versions_too() {
        let sampled = CallerSpan::read(GOLDEN).unwrap();
        assert!(sampled.0.is_sampled() && sampled.0.is_remote() && sampled.0.is_valid());
        assert!(!CallerSpan::read(&GOLDEN.replace("-01", "-00")).unwrap().0.is_sampled());
        let later = GOLDEN.replacen("00-", "cc-", 1);
        for same in [GOLDEN.replace("-01", "-ff"), later.clone(), format!("{later}-and-more"), later + "-"] {
            assert_eq!(CallerSpan::read(&same).as_ref(), Some(&sampled), "{same}");
        }
    }

    #[test]
    fn a_callers_span_that_cannot_be_read_is_none() {
        for header in [
            "",
            "00",
            "00-",
            "-",
            "hello",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-and-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01and-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c8031-9cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(CallerSpan::read(header), None, "{header:?}");
        }
    }
}
