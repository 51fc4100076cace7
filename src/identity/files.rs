//! The two files of keys, read at the start and again when they change.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use super::{services::ServiceKeys, settings::IdentitySettings, verifier::Verifier};

/// How often it is looked whether a file has changed. Orchestrators exchange mounted files, with a new one behind the
/// same name, which not every way of being notified survives.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The looks in a row at which a file could not be read before that is logged: 5 s.
const LOOKS_UNTIL_TOLD: u32 = 5;
/// The largest file of keys.
const MAX_BYTES: usize = 1024 * 1024;

const VIEWER_KEYS: &str = "FANFARE_VIEWER_KEYS";
const SERVICE_KEYS: &str = "FANFARE_SERVICE_KEYS";

/// What stands in the files; none where there is no file.
#[derive(Default, PartialEq)]
struct Texts {
    viewers: Option<Vec<u8>>,
    services: Option<Vec<u8>>,
}

/// Reads both files.
pub(super) fn read(settings: &IdentitySettings) -> Result<(Verifier, ServiceKeys), Vec<String>> {
    let mut faults = Vec::new();
    let mut text = |name: &str, path: Option<&Path>| match path.map(std::fs::read).transpose() {
        Ok(text) => text,
        Err(error) => {
            faults.push(format!("{}: {error}", named(name, path)));
            None
        }
    };
    let texts = Texts {
        viewers: text(VIEWER_KEYS, settings.viewer_keys.as_deref()),
        services: text(SERVICE_KEYS, settings.service_keys.as_deref()),
    };
    if faults.is_empty() { parse(settings, &texts) } else { Err(faults) }
}

fn parse(settings: &IdentitySettings, texts: &Texts) -> Result<(Verifier, ServiceKeys), Vec<String>> {
    let checked = |text: &'_ Option<Vec<u8>>| match text {
        Some(text) if text.len() > MAX_BYTES => Err(vec!["the file is over 1 MiB".to_owned()]),
        Some(text) => Ok(Some(text.clone())),
        None => Ok(None),
    };
    let viewers = checked(&texts.viewers)
        .and_then(|text| text.map_or_else(|| Ok(Verifier::none()), |text| Verifier::read(&text, settings)));
    let services = checked(&texts.services)
        .and_then(|text| text.map_or_else(|| Ok(ServiceKeys::none()), |text| ServiceKeys::read(&text)));
    match (viewers, services) {
        (Ok(viewers), Ok(services)) => Ok((viewers, services)),
        (viewers, services) => {
            let all = |name: String, faults: Option<Vec<String>>| {
                faults.into_iter().flatten().map(move |fault| format!("{name}: {fault}"))
            };
            let of_viewers = all(named(VIEWER_KEYS, settings.viewer_keys.as_deref()), viewers.err());
            let of_services = all(named(SERVICE_KEYS, settings.service_keys.as_deref()), services.err());
            Err(of_viewers.chain(of_services).collect())
        }
    }
}

/// A setting, with the file that it names.
fn named(setting: &str, path: Option<&Path>) -> String {
    path.map_or_else(|| setting.to_owned(), |path| format!("{setting}: {}", path.display()))
}

/// Looks for ever whether a file has changed, and hands on what stands in both then.
pub(super) async fn keep_up(settings: &IdentitySettings, exchange: impl Fn(Verifier, ServiceKeys)) {
    if settings.is_open() {
        return std::future::pending().await;
    }
    // What was read at the start is read again once: it may have changed since.
    let mut known = Texts::default();
    let (mut viewers, mut services) = (Absence::default(), Absence::default());
    loop {
        let texts = Texts {
            viewers: look(VIEWER_KEYS, settings.viewer_keys.as_deref(), &mut viewers)
                .await
                .or_else(|| known.viewers.clone()),
            services: look(SERVICE_KEYS, settings.service_keys.as_deref(), &mut services)
                .await
                .or_else(|| known.services.clone()),
        };
        if texts != known {
            match parse(settings, &texts) {
                Ok((viewers, services)) => {
                    if !viewers.passed_over().is_empty() {
                        let keys = viewers.passed_over().join("; ");
                        tracing::warn!(keys, "keys that are not for viewers' tokens were passed over");
                    }
                    exchange(viewers, services);
                    tracing::info!("the files of keys are read");
                }
                Err(faults) => {
                    let faults = faults.join("; ");
                    tracing::error!(faults, "a file of keys is wrong: the keys from before it stay");
                }
            }
            known = texts;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The looks in a row at which a file could not be read.
#[derive(Default)]
struct Absence(u32);

/// A file that is away for a moment, while it is exchanged, is as it was. One that stays away is logged, since the keys that
/// were in it count on.
async fn look(setting: &str, path: Option<&Path>, absence: &mut Absence) -> Option<Vec<u8>> {
    let text = tokio::fs::read(path?).await;
    match &text {
        Ok(_) if std::mem::take(&mut absence.0) >= LOOKS_UNTIL_TOLD => {
            tracing::info!(file = named(setting, path), "file of keys readable again");
        }
        Ok(_) => {}
        Err(error) => {
            absence.0 = absence.0.saturating_add(1);
            if absence.0 == LOOKS_UNTIL_TOLD {
                let file = named(setting, path);
                tracing::error!(file, %error, "file of keys unreadable: the keys from before it stay");
            }
        }
    }
    text.ok()
}
