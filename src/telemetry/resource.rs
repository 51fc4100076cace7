//! The resource of every signal: the attributes that describe this pod.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use percent_encoding::percent_decode_str;

use super::{
    ignored::Ignored,
    version::{BUILD, VERSION},
};

/// Whose pod this is, for the resource of every signal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodIdentity {
    /// The pod's name.
    pub pod: String,
    /// The pod's track.
    pub track: String,
}

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Returns the pod's own attributes, replaced and completed by `OTEL_RESOURCE_ATTRIBUTES`, then by `OTEL_SERVICE_NAME`.
///
/// An attribute list that cannot be read is discarded as a whole, see
/// <https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable>.
pub(super) fn read(
    identity: &PodIdentity,
    variable: impl Fn(&str) -> Option<String>,
) -> (Resource, Vec<Ignored>) {
    let PodIdentity { pod, track } = identity;
    let own = [
        ("service.name", "fanfare"),
        ("service.version", VERSION),
        ("fanfare.build", BUILD),
        ("service.instance.id", pod),
        ("fanfare.track", track),
    ];
    let own = own.map(|(key, value)| KeyValue::new(key, value.to_owned()));
    let (given, ignored) = match pairs(&variable(ATTRIBUTES).unwrap_or_default()) {
        Ok(given) => (given, Vec::new()),
        Err(reason) => (Vec::new(), vec![Ignored { setting: ATTRIBUTES.to_owned(), reason }]),
    };
    let named = variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    let resource = Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(given.into_iter().map(|(key, value)| KeyValue::new(key, value)))
        .with_attributes(named.map(|name| KeyValue::new("service.name", name)))
        .build();
    (resource, ignored)
}

/// Reads `key=value,key=value`, both percent-encoded; empty entries are passed over.
///
/// # Errors
/// The first entry that cannot be read, by its number: a value may be a secret.
pub(super) fn pairs(list: &str) -> Result<Vec<(String, String)>, String> {
    let entries = list.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
    let read = |(index, entry): (usize, &str)| {
        let fault = |what: &str| format!("entry {} {what}; the whole list is ignored", index + 1);
        let (key, value) = entry.split_once('=').ok_or_else(|| fault("is not key=value"))?;
        let decode = |text: &str| decoded(text.trim());
        match (decode(key).filter(|key| !key.is_empty()), decode(value)) {
            (Some(key), Some(value)) => Ok((key, value)),
            (None, _) => Err(fault("has no readable key")),
            (_, None) => Err(fault("has a value that is not percent-encoded UTF-8")),
        }
    };
    entries.map(read).collect()
}

/// Returns `None` if a `%` is not followed by two hexadecimal digits, or if the bytes are not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let is_encoded =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_encoded) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &str) -> (Vec<(String, String)>, Vec<Ignored>) {
        let identity = PodIdentity { pod: "p".to_owned(), track: "blue".to_owned() };
        let (resource, ignored) = read(&identity, |name| (name == ATTRIBUTES).then(|| list.to_owned()));
        let pairs = resource.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        (pairs, ignored)
    }

    fn value(list: &str, key: &str) -> Option<String> {
        attributes(list).0.into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Symptom: `team=platform%2Cobservability` arrived as written, percent signs and all.
    /// Cause: the SDK's detector does not decode.
    #[test]
    fn keys_and_values_are_percent_decoded() {
        let list = " team = platform%2Cobservability ,key%2Fname=caf%C3%A9%3D1,,empty=, a=b=c ,";
        assert_eq!(attributes(list).1, []);
        for (key, expected) in
            [("team", "platform,observability"), ("key/name", "café=1"), ("empty", ""), ("a", "b=c")]
        {
            assert_eq!(value(list, key).as_deref(), Some(expected), "{key}");
        }
    }

    #[test]
    fn a_list_with_an_unreadable_entry_is_ignored_as_a_whole() {
        for (list, reason) in [
            ("a=1,b", "entry 2 is not key=value"),
            ("a=1,=2", "entry 2 has no readable key"),
            ("a=100%", "entry 1 has a value"),
            ("a=%zz", "entry 1 has a value"),
            ("a=%+1", "entry 1 has a value"),
            ("a=%ff", "entry 1 has a value"),
            ("%=1", "entry 1 has no readable key"),
        ] {
            let (left, ignored) = attributes(list);
            assert_eq!(left.len(), 5, "{list}: the pod's own stay");
            assert!(ignored[0].reason.starts_with(reason), "{list}: {ignored:?}");
        }
    }

    #[test]
    fn given_attributes_replace_the_pods_own() {
        assert_eq!(value("fanfare.track=green", "fanfare.track").as_deref(), Some("green"));
        let identity = PodIdentity::default();
        let both = |name: &str| {
            (name == "OTEL_SERVICE_NAME" || name == ATTRIBUTES).then(|| "service.name=x".to_owned())
        };
        let (resource, _) = read(&identity, both);
        assert_eq!(resource.get(&"service.name".into()).unwrap().to_string(), "service.name=x");
    }
}
