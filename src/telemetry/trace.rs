//! Traces: the span of a post, the name under which it travels to other pods, and the spans there that link to it.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of all spans; the log's filter does not turn them off.
pub(super) const TARGET: &str = "fanfare::trace";

/// Whether spans are made at all. Where they go nowhere, none is made.
static TRACING: AtomicBool = AtomicBool::new(false);

pub(super) fn begin() {
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

/// `00-<32 hex digits>-<16 hex digits>-<flags>`, see <https://www.w3.org/TR/trace-context/#traceparent-header>.
impl FromStr for Traceparent {
    type Err = BadTraceparent;

    fn from_str(text: &str) -> Result<Self, BadTraceparent> {
        let is_hex = |part: &&str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let parts: Vec<_> = text.split('-').filter(is_hex).collect();
        let &["00", trace, span, flags] = &parts[..] else { return Err(BadTraceparent) };
        let fits = text.len() == 55 && trace.len() == 32 && span.len() == 16;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| BadTraceparent)?;
        let trace = TraceId::from_hex(trace).map_err(|_| BadTraceparent)?;
        let span = SpanId::from_hex(span).map_err(|_| BadTraceparent)?;
        let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        if fits && is_valid && flags & 1 == 1 { Ok(Self { trace, span }) } else { Err(BadTraceparent) }
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
#[must_use]
pub fn post_span(stream: &impl fmt::Display, kind: &'static str) -> Span {
    if !TRACING.load(Relaxed) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TARGET, parent: None, "post", otel.kind = "producer", %stream, kind, trace_id = Empty
    );
    note(&span);
    span
}

/// What a pod does with an entry whose post is traced: from its arrival until it is on the tape.
///
/// The span links to the post's span; it is no child of it, since many pods deliver, some of them late.
#[must_use]
pub fn deliver_span(post: Traceparent, stream: &impl fmt::Display, seq: u64) -> Span {
    if !TRACING.load(Relaxed) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TARGET, parent: None, "deliver", otel.kind = "consumer", %stream, seq, trace_id = Empty
    );
    span.add_link(post.context());
    note(&span);
    span
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
}
