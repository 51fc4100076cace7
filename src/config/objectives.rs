//! Settings of what is in time.

use std::time::Duration;

use clap::Args;

use super::Faults;
use crate::telemetry::Objectives;

/// Less than this no network keeps to.
const LEAST: Duration = Duration::from_millis(1);
/// More than this is nothing that a viewer waits for.
const MOST: Duration = Duration::from_secs(60);

/// The objectives as they were given.
#[derive(Debug, Clone, Args)]
pub(super) struct ObjectiveFlags {
    /// A delivery that takes longer, from the post's acceptance to the viewer's socket, is late
    #[arg(long, env = "FANFARE_SLO_DELIVER", value_name = "DURATION", default_value = "200ms")]
    slo_deliver: String,
    /// A join that takes longer, from the handshake to the first frames, is late
    #[arg(long, env = "FANFARE_SLO_JOIN", value_name = "DURATION", default_value = "500ms")]
    slo_join: String,
}

impl ObjectiveFlags {
    /// Checks them.
    pub(super) fn check(&self, faults: &mut Faults) -> Objectives {
        Objectives {
            deliver: faults.objective("FANFARE_SLO_DELIVER", &self.slo_deliver),
            join: faults.objective("FANFARE_SLO_JOIN", &self.slo_join),
        }
    }
}

impl Faults {
    fn objective(&mut self, name: &str, text: &str) -> Duration {
        let given = humantime::parse_duration(text).ok();
        given.filter(|given| (LEAST..=MOST).contains(given)).unwrap_or_else(|| {
            self.0.push(format!("{name}: {text:?} is not a time such as 200ms or 1s, from 1ms to 60s"));
            LEAST
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use crate::{
        config::{BadConfig, Flags},
        telemetry::Objectives,
    };

    fn check(arguments: &[&str]) -> Result<Objectives, BadConfig> {
        let flags = Flags::try_parse_from([&["fanfare"], arguments].concat()).unwrap();
        flags.check().map(|config| config.objectives)
    }

    #[test]
    fn objectives_are_times_from_a_millisecond_to_a_minute() {
        assert_eq!(check(&[]), Ok(Objectives::default()));
        let [deliver, join] = [75, 1_500].map(Duration::from_millis);
        assert_eq!(check(&["--slo-deliver=75ms", "--slo-join=1s 500ms"]), Ok(Objectives { deliver, join }));
        for bad in ["0", "999us", "61s", "200", "-1s", "soon", ""] {
            let faults = check(&[&format!("--slo-deliver={bad}"), &format!("--slo-join={bad}")]);
            let Err(BadConfig(faults)) = faults else { panic!("{bad:?} is accepted") };
            let names: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
            assert_eq!(names, ["FANFARE_SLO_DELIVER", "FANFARE_SLO_JOIN"], "{bad:?}");
        }
    }
}
