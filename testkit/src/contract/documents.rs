//! A document with its schemas, and what of a schema an instance touches.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{Draft, Validator};
use serde_json::Value;

/// One of the two documents.
pub struct Document {
    /// Its file in docs.
    pub name: &'static str,
    /// The document as JSON.
    pub root: Value,
    draft: Draft,
    /// Validators by the place of their schema. Guards the map alone; a validator is made once.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// A name as a part of a JSON pointer.
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The members of an object; none of anything else.
pub fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The elements of a list; none of anything else.
pub fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Closes every object that does not say otherwise: the documents tell clients to ignore what they do not know, but
/// nothing may be sent that the documents do not know.
fn seal(value: &mut Value) {
    if value["type"] == "object" && value["properties"].is_object() && value["additionalProperties"].is_null()
    {
        value["additionalProperties"] = false.into();
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(seal),
        Value::Array(elements) => elements.iter_mut().for_each(seal),
        _ => {}
    }
}

impl Document {
    /// Reads a document; its schemas are of this draft.
    pub fn read(name: &'static str, yaml: &str, draft: Draft) -> Self {
        let mut root: Value = serde_yaml_ng::from_str(yaml).unwrap();
        seal(&mut root);
        Self { name, root, draft, validators: Mutex::default() }
    }

    /// A place with the document's name.
    pub fn part(&self, place: &str) -> String {
        format!("{}#{place}", self.name)
    }

    /// The place that this one refers to, or itself.
    pub fn resolved(&self, place: &str) -> String {
        match self.at(place)["$ref"].as_str() {
            // A schema may say more beside its reference.
            Some(target) if self.at(place).as_object().is_some_and(|object| object.len() == 1) => {
                self.resolved(&target[1..])
            }
            _ => place.to_owned(),
        }
    }

    /// What stands at a place, a JSON pointer.
    pub fn at(&self, place: &str) -> &Value {
        self.root.pointer(place).unwrap_or_else(|| panic!("nothing at {place}"))
    }

    /// What is wrong with an instance of the schema at a place.
    pub fn faults(&self, place: &str, instance: &Value) -> Option<String> {
        let validator = Arc::clone(
            self.validators
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(place.to_owned())
                .or_insert_with(|| Arc::new(self.validator(place))),
        );
        if validator.is_valid(instance) {
            return None;
        }
        let faults =
            validator.iter_errors(instance).map(|error| format!("{} {error}", error.instance_path()));
        Some(faults.collect::<Vec<_>>().join("; "))
    }

    fn validator(&self, place: &str) -> Validator {
        let mut schema = self.root.clone();
        // As a URI writes them (RFC 6901 section 6): paths have braces, and a media type a space.
        let encoded = place.replace('{', "%7B").replace('}', "%7D").replace(' ', "%20");
        schema["$ref"] = format!("#{encoded}").into();
        jsonschema::options()
            .with_draft(self.draft)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{place} is no schema: {error}"))
    }

    /// Collects the parts of the schema at a place that an instance touches, or all of them: properties, branches,
    /// and the values and types that are listed.
    pub fn walk(&self, place: &str, instance: Option<&Value>, found: &mut BTreeSet<String>) {
        let schema = self.at(place);
        if let Some(target) = schema["$ref"].as_str() {
            self.walk(&target[1..], instance, found);
        }
        for (name, _) in members(&schema["properties"]) {
            let part = format!("{place}/properties/{}", escape(name));
            let value = instance.map(|instance| instance.get(name));
            if value != Some(None) {
                self.walk(&part, value.flatten(), found);
                found.insert(self.part(&part));
            }
        }
        self.walk_elements(place, instance, found);
        for (number, _) in elements(&schema["anyOf"]).enumerate() {
            let part = format!("{place}/anyOf/{number}");
            if instance.is_none_or(|instance| self.faults(&part, instance).is_none()) {
                self.walk(&part, instance, found);
                found.insert(self.part(&part));
            }
        }
        for value in elements(&schema["enum"]).filter(|value| instance.is_none_or(|given| given == *value)) {
            found.insert(self.part(&format!("{place}: {value}")));
        }
        for kind in elements(&schema["type"]) {
            let is = |given: &Value| if given.is_null() { kind == "null" } else { kind != "null" };
            if instance.is_none_or(is) {
                found.insert(self.part(&format!("{place}: {kind}")));
            }
        }
    }

    fn walk_elements(&self, place: &str, instance: Option<&Value>, found: &mut BTreeSet<String>) {
        let schema = self.at(place);
        if schema["items"].is_object() {
            let part = format!("{place}/items");
            match instance {
                None => self.walk(&part, None, found),
                Some(list) => elements(list).for_each(|element| self.walk(&part, Some(element), found)),
            }
        }
        if schema["additionalProperties"].is_object() {
            let part = format!("{place}/additionalProperties");
            let known = |name: &String| schema["properties"].get(name).is_some();
            match instance {
                None => self.walk(&part, None, found),
                Some(object) => members(object)
                    .filter(|(name, _)| !known(name))
                    .for_each(|(_, value)| self.walk(&part, Some(value), found)),
            }
        }
    }
}
