//! Batches: a result for each comment, whatever the others are.

use testkit::{Join, request, stream_for};

use super::{JSON, backend};

/// Ways in which a comment can be bad in a batch that can still be read, and the status of its result.
fn bad(stream: &str) -> Vec<(String, u16)> {
    let with = |rest: &str| format!(r#"{{"stream":"{stream}","kind":"gift","data":{{"n":1}},{rest}}}"#);
    let of = |rest: &str| format!(r#"{{"stream":"{stream}",{rest}}}"#);
    let deep = |depth: usize| format!(r#""data":{}1{}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let malformed = vec![
        "1e400".into(),
        "null".into(),
        "\"text\"".into(),
        "[]".into(),
        "{}".into(),
        "nonsense".into(),
        "{\"stream\":}".into(),
        format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!(r#"["{stream}","k","gift",["u1","Ann"],null,{{"n":1}}]"#),
        of(r#""kind":"gift","data":{"n":1e400}"#),
        of(r#""kind":"gift","data":{"n":-1e400}"#),
        of(r#""kind":"gift","data":{"n":NaN}"#),
        of(r#""kind":"gift","data":{"n":01}"#),
        of(&format!(r#""kind":"gift",{}"#, deep(200))),
        of(&format!(r#""kind":"gift",{}"#, deep(20_000))),
        of(r#""kind":"emperor","body":"x""#),
        of(r#""kind":{"gift":null},"data":{"n":1}"#),
        of(r#""kind":7,"body":"x""#),
        of(r#""kind":"comment","body":7"#),
        of(r#""kind":"comment","body":"\ud800""#),
        of(r#""kind":"comment","body":"\x""#),
        of("\"kind\":\"comment\",\"body\":\"a\nb\""),
        of(r#""kind":"comment","body":"x","body":"y""#),
        of(r#""kind":"comment","body":"x" "id":"a""#),
        of(r#""kind":"comment","body":"x","id":1"#),
        of(r#""kind":"comment","body":"x","id":"""#),
        of(r#""kind":"gift","data":[1]"#),
        of(r#""body":"no kind""#),
        with(r#""author":["u1","Ann"]"#),
        with(r#""author":"Ann""#),
        with(r#""author":{"id":1,"name":"Ann"}"#),
        with(r#""author":{"id":"u1"}"#),
        r#"{"kind":"comment","body":"no stream"}"#.into(),
        r#"{"stream":"no stream","kind":"comment","body":"x"}"#.into(),
        r#"{"stream":["a"],"kind":"comment","body":"x"}"#.into(),
    ];
    let refused = vec![
        of(r#""kind":"comment""#),
        of(r#""kind":"comment","body":"""#),
        of(&format!(r#""kind":"comment","body":"{}""#, "x".repeat(501))),
        of(&format!(r#""kind":"gift","data":{{"x":"{}"}}"#, "y".repeat(2_048))),
        with(r#""author":{"id":"","name":"Ann"}"#),
    ];
    let malformed = malformed.into_iter().map(|text| (text, 400));
    malformed.chain(refused.into_iter().map(|text| (text, 422))).collect()
}

/// Symptom: one comment with the number 1e400, nested 200 deep or with a bad escape turned a whole batch into 400.
/// Cause: the batch was read as one JSON value, in which an item's fault is the batch's.
#[tokio::test]
async fn a_bad_comment_of_a_batch_is_the_fault_of_no_other() {
    let (pod, stream) = (backend::shared(), stream_for("spoiled"));
    let bad = bad(&stream);
    let good = |number: usize| format!(r#"{{"stream":"{stream}","kind":"comment","body":"good {number}"}}"#);
    let mut text: Vec<u8> = b"{\"comments\":[".to_vec();
    for (number, (item, _)) in bad.iter().enumerate() {
        text.extend_from_slice(format!("{},{item},\n", good(number)).as_bytes());
    }
    let raw = [br#"{"stream":"a","kind":"comment","body":""#, &b"\xff\xfe"[..], br#""},"#].concat();
    text.extend_from_slice(&raw);
    text.extend_from_slice(format!("{}]}}", good(bad.len())).as_bytes());

    let mut viewer = Join::new(&pod, &stream).open().await;
    let answer = request(pod.public, "POST", "/v1/comments", &[JSON], &text).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 2 * bad.len() + 2);
    for (number, (item, status)) in bad.iter().enumerate() {
        let (posted, result) = (&results[2 * number], &results[2 * number + 1]);
        assert_eq!(posted["status"], 201, "before {item:.100}");
        assert_eq!(result["status"], *status, "{item:.100}: {result}");
        assert!(result["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{result}");
    }
    assert_eq!(results[2 * bad.len()]["status"], 400, "bytes that are no UTF-8");
    assert_eq!(results[2 * bad.len() + 1]["status"], 201, "the last one");
    viewer.comments(bad.len() + 1).await;
    viewer.assert_contiguous(1);
    let bodies: Vec<_> = viewer.seen.iter().map(|seen| seen.body.clone()).collect();
    assert_eq!(bodies, (0..=bad.len()).map(|number| format!("good {number}")).collect::<Vec<_>>());
}
