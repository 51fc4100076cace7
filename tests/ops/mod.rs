//! What people ask the ops listener: a pod at a glance, one stream explained.

mod debug;
mod status;

use serde_json::{Value, json};

/// The shape of a JSON value: names of fields, and the type of each; of a list that of its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(list) => list.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
    }
}
