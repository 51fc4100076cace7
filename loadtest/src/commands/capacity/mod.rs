//! How much a pod carries: viewers are added until the objective breaks, then what each thing costs is told.
//!
//! Posts come in by a pod of their own, so that the pods with viewers do nothing but hear and deliver.

mod args;
mod figures;
mod table;

pub use args::CapacityArgs;
pub use figures::{CapacityReport, Limit, Small, Step};
pub use table::table;

use crate::{
    commands::local::{Fleet, FleetError, Measured, Programs, measure, run_args, unless_interrupted},
    report::{print, progress::Progress},
};

/// Between the last step that held and the first that did not, so many more are tried.
const REFINE: u32 = 2;
/// Many small streams: so many, viewers of each, comments a second in each, seconds.
const SMALL: [u32; 4] = [500, 20, 1, 8];

/// Steps that make sense.
#[derive(Debug)]
pub struct Capacity {
    args: CapacityArgs,
    programs: Programs,
}

impl CapacityArgs {
    /// Checks the flags, and that the programs are there.
    ///
    /// # Errors
    /// One sentence for each mistake.
    pub fn check(mut self) -> Result<Capacity, Vec<String>> {
        self.fleet.posting_pod = true;
        let mut mistakes = Vec::new();
        if self.fleet.shards == 0 {
            mistakes.push("--shards: 1 or more, for the posts come in by a pod of their own".to_owned());
        }
        if self.viewers > self.most {
            mistakes.push("--viewers: at most --most".to_owned());
        }
        let run = run_args(&self.flags(self.viewers)).map_err(|error| error.to_string());
        mistakes.extend(run.and_then(|run| run.plan().map_err(|wrong| wrong.join("\n"))).err());
        match self.fleet.programs() {
            Ok(programs) if mistakes.is_empty() => Ok(Capacity { args: self, programs }),
            Ok(_) => Err(mistakes),
            Err(error) => Err(mistakes.into_iter().chain([error.to_string()]).collect()),
        }
    }

    /// The flags of a step.
    fn flags(&self, viewers: u32) -> String {
        let Self { streams, rate, seconds, .. } = self;
        let watched = (*streams).min(viewers);
        format!(
            "--viewers {viewers} --streams {streams} --watched {watched} --rate={rate} --seconds={seconds}"
        )
    }
}

impl Capacity {
    /// Measures.
    ///
    /// # Errors
    /// When a fleet cannot be had, or a process dies.
    pub async fn run(self, on_progress: fn(&Progress)) -> Result<CapacityReport, FleetError> {
        unless_interrupted(async {
            let steps = self.steps(on_progress).await?;
            let mut small = Vec::new();
            for _ in 0..self.args.small_rounds {
                let [streams, viewers, rate, seconds] = SMALL;
                let viewers = streams * viewers;
                let flags =
                    format!("--viewers {viewers} --streams {streams} --rate={rate} --seconds={seconds}");
                small.push(Small::of(&self.once(&flags, on_progress).await?));
            }
            Ok(CapacityReport::of(&self.args, steps, small))
        })
        .await
    }

    /// Doubles the viewers until the objective breaks, then looks more closely where.
    async fn steps(&self, on_progress: fn(&Progress)) -> Result<Vec<Step>, FleetError> {
        let mut steps: Vec<Step> = Vec::new();
        let (mut good, mut bad) = (0, None);
        let mut next = Some(self.args.viewers);
        let mut refined = 0;
        while let Some(viewers) = next {
            let measured = self.once(&self.args.flags(viewers), on_progress).await?;
            let step = Step::of(&measured, self.args.slo_ms);
            print::note(&table::step(&step));
            if step.holds() {
                good = good.max(viewers);
            } else {
                bad = Some(bad.unwrap_or(viewers).min(viewers));
            }
            steps.push(step);
            next = match bad {
                None if viewers >= self.args.most => None,
                None => Some(viewers.saturating_mul(2).min(self.args.most)),
                Some(_) if refined == REFINE => None,
                Some(bad) => {
                    refined += 1;
                    Some(good + (bad - good) / 2).filter(|between| *between > good)
                }
            };
        }
        steps.sort_by_key(|step| step.viewers);
        Ok(steps)
    }

    async fn once(&self, flags: &str, on_progress: fn(&Progress)) -> Result<Measured, FleetError> {
        let mut fleet = Fleet::start(&self.args.fleet, &self.programs).await?;
        let cpu = self.args.cpu.map_or_else(String::new, |cpu| format!("--cpu {cpu}"));
        let run = run_args(&format!("{flags} --rest --rest-connections 64 --stream-prefix capacity {cpu}"))?;
        let plan = fleet.aim(run).plan().map_err(FleetError::Flags)?;
        let measured = measure(&mut fleet, plan, on_progress).await?;
        match measured.died() {
            Some((name, why)) => Err(FleetError::Died { name: name.to_owned(), why: why.to_owned() }),
            None => Ok(measured),
        }
    }
}
