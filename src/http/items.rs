//! The items of a batch, each as bytes of its own.

use serde::{Deserialize, de::IgnoredAny};

use crate::domain::read_object;

/// The depth of the items: in an array in an object.
const DEPTH: usize = 2;

/// The object around the items.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    comments: Vec<IgnoredAny>,
}

/// Cuts a batch into its items, without reading them: an item that is no JSON is an item still.
///
/// Brackets, commas and quotes alone count. Numbers beyond all bounds, bytes that are no UTF-8 and any depth therefore
/// stay within their item.
///
/// # Errors
/// The batch is no object with the one array, or an item does not end.
pub(super) fn split(batch: &[u8]) -> Result<Vec<&[u8]>, serde_json::Error> {
    let mut items = Vec::new();
    // The batch with a number in the place of each item, as long as the batch, so that errors have their place.
    let mut frame = batch.to_vec();
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut begin = None;
    let mut cut = |from: usize, to: usize| {
        let item = &batch[from..to];
        if let Some(first) = item.iter().position(|byte| !byte.is_ascii_whitespace()) {
            frame[from + first..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            frame[from + first] = b'0';
            items.push(item.trim_ascii());
        }
    };
    for (at, byte) in batch.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth == DEPTH && *byte == b'[' {
                    begin = Some(at + 1);
                }
            }
            b',' if depth == DEPTH => {
                if let Some(from) = begin {
                    cut(from, at);
                    begin = Some(at + 1);
                }
            }
            b']' | b'}' => {
                if depth == DEPTH
                    && let Some(from) = begin.take()
                {
                    cut(from, at);
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    if let Some(from) = begin {
        cut(from, batch.len());
    }
    let Frame { comments } = read_object(&frame)?;
    debug_assert_eq!(comments.len(), items.len());
    Ok(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(batch: &str) -> Result<Vec<&str>, String> {
        let items = split(batch.as_bytes()).map_err(|error| error.to_string())?;
        Ok(items.into_iter().map(|item| std::str::from_utf8(item).unwrap()).collect())
    }

    #[test]
    fn items_are_cut_whatever_they_hold() {
        assert_eq!(texts(r#"{"comments":[]}"#), Ok(vec![]));
        assert_eq!(texts(" {\n\"comments\" : [ \n ] } "), Ok(vec![]));
        let odd = [
            r#"{"a":"],[\"\\"}"#,
            "1e400",
            "NaN",
            "[[[1,2],{\"b\":[3]}],4]",
            "\"\\ud800\"",
            "\"a\nb\"",
            "x y",
        ];
        let batch = format!("{{\"comments\": [ {} ]}}", odd.join(" ,\n"));
        assert_eq!(texts(&batch), Ok(odd.to_vec()));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(texts(&format!("{{\"comments\":[1,{deep},2]}}")), Ok(vec!["1", &deep, "2"]));
        let raw = b"{\"comments\":[\"\xff\",2]}";
        assert_eq!(split(raw).unwrap(), [&b"\"\xff\""[..], b"2"]);
    }

    #[test]
    fn batches_whose_items_have_no_end_are_refused() {
        for bad in [
            "",
            "[]",
            "[[1]]",
            "{}",
            "null",
            r#"{"comments":[1,]}"#,
            r#"{"comments":[,]}"#,
            r#"{"comments":[1,,2]}"#,
            r#"{"comments":[1"#,
            r#"{"comments":["a]}"#,
            r#"{"comments":[{"a":1]}"#,
            r#"{"comments":[1]} x"#,
            r#"{"comments":[1}"#,
            r#"{"comments":{"a":1,"b":2}}"#,
            r#"{"comments":[1],"comments":[2]}"#,
            r#"{"comments":[1],"more":[2]}"#,
        ] {
            assert!(texts(bad).is_err(), "{bad}: {:?}", texts(bad));
        }
        let place = texts("{\"comments\":[1,\n{\"a\":2}],\n\"comment\":3}").unwrap_err();
        assert_eq!(place, "unknown field `comment`, expected `comments` at line 3 column 9");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&bytes);
            let _ = split(&[b"{\"comments\":[", &bytes[..], b"]}"].concat());
        }

        #[test]
        fn items_of_json_come_back(items in prop::collection::vec("[0-9]{1,3}|\"[ -!#-\\[\\]-~]{0,9}\"|\\{\"[a-c],\\[\":\\[1,2\\]\\}", 0..9)) {
            let batch = format!("{{\"comments\":[{}]}}", items.join(","));
            let expected: Vec<_> = items.iter().map(String::as_str).collect();
            prop_assert_eq!(texts(&batch), Ok(expected));
        }
    }
}
