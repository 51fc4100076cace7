//! A file of limits: it is read or told to be wrong, and limits that are read never overflow.
#![no_main]

use fanfare::limits::{Buckets, LimitRules, Limits};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(rules) = LimitRules::from_json(text) else { return };
    let (limits, mut meters) = (Limits::new(rules), Buckets::default());
    let keys = limits.keys("ann", [192, 0, 2, 1].into(), &"lobby".parse().unwrap());
    for count in [1, 1_000_000, u32::MAX] {
        let _ = limits.frames(&keys, &mut meters, count);
        let _ = limits.post(&keys, Some(&mut meters));
        let _ = (limits.join(&keys), limits.post_of_service("shop"));
    }
});
