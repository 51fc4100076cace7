//! JSON objects, read as objects.
//!
//! serde reads a derived struct from an array of its fields as well, and a unit variant from an object. The documents
//! allow neither, so every JSON text of the product is read here, and each struct within another through [`Object`].

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A value of a derived struct that is read from an object and from nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a struct from the text of a JSON object.
///
/// # Errors
/// The text is no JSON, no object, or an object of another form.
pub fn read_object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text).map(|Object(value)| value)
}

/// Reads a field's struct from an object, for `deserialize_with`.
///
/// # Errors
/// The value is no object, or one of another form.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Reads a field's struct from an object or null, for `deserialize_with` beside `default`.
///
/// # Errors
/// The value is neither, or an object of another form.
pub fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(value.map(|Object(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        a: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        one: Inner,
        #[serde(default, deserialize_with = "optional_object")]
        maybe: Option<Inner>,
        #[serde(default)]
        many: Vec<Object<Inner>>,
    }

    /// Symptom: an array of a struct's fields is read as the struct. Cause: a derived `Deserialize` has `visit_seq` too.
    #[test]
    fn arrays_are_refused_where_objects_are_expected() {
        let good = r#"{"one":{"a":1},"maybe":{"a":2},"many":[{"a":3}]}"#;
        let read =
            Outer { one: Inner { a: 1 }, maybe: Some(Inner { a: 2 }), many: vec![Object(Inner { a: 3 })] };
        assert_eq!(read_object::<Outer>(good.as_bytes()).unwrap(), read);
        assert_eq!(read_object::<Outer>(br#"{"one":{"a":1},"maybe":null}"#).unwrap().maybe, None);
        let derived: Inner = serde_json::from_str("[1]").unwrap();
        assert_eq!(derived, Inner { a: 1 }, "serde alone takes it");
        for array in [
            r#"[{"a":1},{"a":2},[]]"#,
            r#"{"one":[1]}"#,
            r#"{"one":{"a":1},"maybe":[2]}"#,
            r#"{"one":{"a":1},"many":[[3]]}"#,
        ] {
            let error = read_object::<Outer>(array.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains("invalid type: sequence, expected an object at line 1"),
                "{array}: {error}"
            );
        }
        let unknown = read_object::<Inner>(b"{\"a\":1,\n\"b\":2}").unwrap_err().to_string();
        assert_eq!(unknown, "unknown field `b`, expected `a` at line 2 column 3");
    }
}
