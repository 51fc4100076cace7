//! Headers that say where a client comes from: a stranger's word never counts.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};
use fanfare::http::{Origins, Proxies};

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let proxies: Proxies = "10.0.0.0/8,2001:db8::/32".parse().unwrap();
    let origins: Origins = "https://live.example".parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value.clone());
            headers.insert("origin", value);
        }
    }
    assert_eq!(proxies.client(STRANGER, &headers), STRANGER);
    let _ = proxies.client(PROXY, &headers);
    let named = headers.get("origin");
    assert_eq!(origins.allow(&headers), named.is_none_or(|origin| origin == "https://live.example"));
    // Lists as settings give them.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (text.parse::<Proxies>(), text.parse::<Origins>());
    }
});
