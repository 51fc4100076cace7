//! The seed's A/B: many busy streams of which each pod watches a few, once hearing what is watched, once everything.
//!
//! The streams are posted to through a pod of its own, so that the pods with viewers do nothing but hear and deliver.
//! Both ways take turns in one run, each time with fresh processes; what is compared are medians.

mod args;
mod baseline_pod;
mod figures;
mod table;

pub use args::AbArgs;
pub use figures::{AbReport, Figures, Median, Round};
pub use table::table;

use crate::{
    commands::local::{Fleet, FleetError, Programs, measure, run_args, unless_interrupted},
    report::progress::Progress,
    run,
};

/// What the pods hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Watched,
    Everything,
}

/// An A/B that makes sense.
#[derive(Debug)]
pub struct Ab {
    args: AbArgs,
    watched: Programs,
    everything: Programs,
}

impl AbArgs {
    /// Checks the flags, and builds the pod that hears everything.
    ///
    /// # Errors
    /// One sentence for each mistake.
    pub fn check(mut self) -> Result<Ab, Vec<String>> {
        self.fleet.posting_pod = true;
        let mut mistakes = Vec::new();
        let rules = [
            (self.fleet.shards > 0, "--shards: 1 or more, for what is heard comes from them"),
            (self.watched < self.streams, "--watched: fewer than --streams"),
            (
                self.viewers >= self.watched * u32::from(self.fleet.pods),
                "--viewers: at least one for each watched stream on each pod",
            ),
        ];
        mistakes.extend(rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| (*rule).to_owned()));
        let run = run_args(&self.flags()).map_err(|error| error.to_string());
        mistakes.extend(run.and_then(|run| run.plan().map_err(|wrong| wrong.join("\n"))).err());
        let watched = match self.fleet.programs() {
            Ok(programs) if mistakes.is_empty() => programs,
            Ok(_) => return Err(mistakes),
            Err(error) => return Err(mistakes.into_iter().chain([error.to_string()]).collect()),
        };
        let pod = baseline_pod::find_or_build(self.hearing_pod.as_deref())
            .map_err(|error| vec![error.to_string()])?;
        let everything = Programs { pod, ..watched.clone() };
        Ok(Ab { args: self, watched, everything })
    }

    /// The flags of each run.
    fn flags(&self) -> String {
        let Self { viewers, streams, watched, rate, seconds, cpu, .. } = self;
        let cpu = cpu.map_or_else(String::new, |cpu| format!("--cpu {cpu}"));
        format!(
            "--viewers {viewers} --streams {streams} --watched {watched} --rate={rate} --seconds={seconds} \
             --rest --rest-connections 64 --stream-prefix ab {cpu}"
        )
    }
}

impl Ab {
    /// Measures.
    ///
    /// # Errors
    /// When a fleet cannot be had or a process dies, and when a program does not hear what it should.
    pub async fn run(self, on_progress: fn(&Progress)) -> Result<AbReport, FleetError> {
        let mut rounds = Vec::new();
        for number in 0..self.args.rounds {
            // Whoever goes first gets what the machine happens to do then; so that takes turns, too.
            let mut ways = [Way::Watched, Way::Everything];
            ways.rotate_left(usize::from(number % 2));
            let mut figures = Vec::new();
            for way in ways {
                figures.push((way, unless_interrupted(self.once(way, on_progress)).await?));
            }
            figures.sort_by_key(|(way, _)| *way == Way::Everything);
            let mut figures = figures.into_iter().map(|(_, figures)| figures);
            if let (Some(watched), Some(everything)) = (figures.next(), figures.next()) {
                rounds.push(Round { watched, everything });
            }
        }
        Ok(AbReport::of(&self.args, rounds))
    }

    async fn once(&self, way: Way, on_progress: fn(&Progress)) -> Result<Figures, FleetError> {
        let (name, run) = (run::any_run(), run_args(&self.args.flags())?);
        let plan = run.clone().plan().map_err(FleetError::Flags)?;
        let streams: Vec<_> = (0..self.args.streams).map(|stream| plan.stream_name(name, stream)).collect();
        let mut fleet_args = self.args.fleet.clone();
        let programs = match way {
            Way::Watched => &self.watched,
            Way::Everything => &self.everything,
        };
        if way == Way::Everything {
            fleet_args.set.push((baseline_pod::VARIABLE.to_owned(), streams.join(",")));
        }
        let mut fleet = Fleet::start(&fleet_args, programs).await?;
        if way == Way::Everything {
            baseline_pod::hears(&fleet, streams.len()).await?;
        }
        let mut plan = fleet.aim(run).plan().map_err(FleetError::Flags)?;
        plan.name(name);
        let measured = measure(&mut fleet, plan, on_progress).await?;
        if let Some((name, why)) = measured.died() {
            return Err(FleetError::Died { name: name.to_owned(), why: why.to_owned() });
        }
        let unwatched = streams.iter().skip(self.args.watched as usize);
        let unwatched: Vec<_> = unwatched.map(|stream| format!("ff:{{{stream}}}")).collect();
        let mut heard = 0;
        for shard in &fleet.shards {
            // A shard that does not answer may do anything.
            heard += shard.subscribed(&unwatched).await.unwrap_or(unwatched.len());
        }
        Ok(Figures::of(&measured, heard))
    }
}
