//! Posts through REST: comments or gifts, each worker every so many of the schedule's posts.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    context::{Class, Context, Phase},
    schedule::{Due, Schedule},
};
use crate::{
    check::{ledger::Fit, tally::note},
    protocol::{
        dial,
        dial::{DialError, Route},
        http,
        http::Answer,
        mark::{Mark, PostId},
        stream::Stream,
    },
};

/// Pause before a post whose outcome is unknown is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What a worker posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Comments,
    /// Of this one of the gifts' schedules.
    Gifts(usize),
}

/// One of several workers that share a schedule.
pub(crate) struct RestPoster {
    pub(crate) ctx: Arc<Context>,
    pub(crate) sort: Sort,
    pub(crate) number: u32,
    pub(crate) of: u32,
}

#[derive(Deserialize)]
struct Posted {
    id: String,
    seq: u64,
    duplicate: bool,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

impl RestPoster {
    /// Makes this worker's posts, until the run is over at the latest.
    pub(crate) async fn post_all(self) {
        let mut phase = self.ctx.phase();
        let begun = phase.wait_for(|phase| *phase != Phase::Joining).await.map(|phase| *phase);
        let Ok(Phase::Posting { start_us }) = begun else { return };
        let schedule = match self.sort {
            Sort::Comments => Some(self.ctx.comments(start_us)),
            Sort::Gifts(which) => self.ctx.gifts(start_us).get(which).copied(),
        };
        let Some(schedule) = schedule else { return };
        tokio::select! {
            () = self.work(schedule) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Finished) => {}
        }
    }

    async fn work(&self, schedule: Schedule) {
        let mut connection = None;
        let mine = (u64::from(self.number)..).step_by(self.of.max(1) as usize);
        for due in mine.map_while(|place| schedule.nth(place)) {
            sleep_until(self.ctx.clock.at(due.due_us)).await;
            self.post(due, &mut connection).await;
        }
    }

    /// Posts once, and again with the same idempotency id while the outcome is unknown.
    async fn post(&self, due: Due, connection: &mut Option<Stream>) {
        let post = match self.sort {
            Sort::Comments => PostId::comment(due.number),
            Sort::Gifts(_) => PostId::gift(due.number),
        };
        let floor = {
            let mut ledger = self.ctx.ledger(due.stream);
            ledger.offer(post);
            ledger.highest_acked()
        };
        let now_us = self.ctx.clock.now_us();
        self.ctx.tally((self.number, Class::Steady)).lateness.record(now_us.saturating_sub(due.due_us));
        let request = self.request(due, post);
        let deadline = Instant::now() + self.ctx.plan.request;
        loop {
            match timeout_at(deadline, self.exchange(connection, &request, deadline)).await {
                Ok(Ok(answer)) => {
                    self.answered((due, post), floor, &answer);
                    return;
                }
                // A certificate does not get better by asking again.
                Ok(Err(Some(DialError::Tls(reason)))) => {
                    let mut tally = self.ctx.tally((self.number, Class::Steady));
                    note(&mut tally.errors, &format!("REST: {reason}"));
                    return;
                }
                Ok(Err(_)) => *connection = None,
                Err(_) => {
                    *connection = None;
                    return;
                }
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// Sends the request, on a new connection if there is none; the error is `None` when its outcome is unknown.
    async fn exchange(
        &self,
        connection: &mut Option<Stream>,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Answer, Option<DialError>> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => {
                let (target, address) = self.ctx.rest_target(self.number);
                let tls = self.ctx.tls(target);
                let route = Route { address, source: None, receive_bytes: None, deadline, tls };
                dial::connect(route).await.map_err(Some)?
            }
        };
        let answer = http::exchange(&mut stream, request).await.map_err(|_| None)?;
        if answer.keep {
            *connection = Some(stream);
        }
        Ok(answer)
    }

    fn request(&self, due: Due, post: PostId) -> Vec<u8> {
        let Context { plan, run, .. } = &*self.ctx;
        let (target, _) = self.ctx.rest_target(self.number);
        let text = Mark { run: *run, stream: due.stream, post, due_us: due.due_us }.body(plan.body_bytes);
        let author = r#"{"id":"loadtest","name":"loadtest"}"#;
        let body = match self.sort {
            Sort::Comments => format!(r#"{{"kind":"comment","author":{author},"body":"{text}"}}"#),
            Sort::Gifts(_) => format!(
                r#"{{"kind":"gift","author":{author},"body":"{text}","data":{{"item":"rose","amount":1}}}}"#
            ),
        };
        format!(
            "POST {}/v1/streams/{}/comments HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {run:x}-{:x}\r\nContent-Length: {}\r\n{}\r\n{body}",
            target.prefix,
            self.ctx.stream_name(due.stream),
            target.authority,
            post.bits(),
            body.len(),
            plan.headers,
        )
        .into_bytes()
    }

    fn answered(&self, (due, post): (Due, PostId), floor: u64, answer: &Answer) {
        let now_us = self.ctx.clock.now_us();
        let mut ledger = self.ctx.ledger(due.stream);
        let mut tally = self.ctx.tally((self.number, Class::Steady));
        if !matches!(answer.status, 200 | 201) {
            let code = serde_json::from_slice::<Problem>(&answer.body).map(|problem| problem.code);
            note(&mut tally.refusals, &code.unwrap_or_else(|_| format!("status {}", answer.status)));
            return;
        }
        let Ok(posted) = serde_json::from_slice::<Posted>(&answer.body) else {
            tally.counts.garbage += 1;
            note(&mut tally.refusals, "garbage");
            return;
        };
        tally.counts.acked += 1;
        tally.counts.acked_again += u64::from(posted.duplicate);
        tally.ack.record(now_us.saturating_sub(due.due_us));
        if !posted.duplicate && ledger.epochs() <= 1 && posted.seq <= floor {
            tally.counts.inversions += 1;
        }
        if ledger.ack(post, posted.seq, posted.id.as_bytes(), now_us) != Fit::Agrees {
            tally.counts.disagreements += 1;
        }
    }
}
