//! Who a client is before it says so: its address, and the page that it comes from.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::{HeaderMap, HeaderValue, header};

/// The networks of proxies whose word on a client's address counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many leading bits count.
    bits: u32,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.map_or(Ok(most), str::parse).map_err(|_| ())?;
        // Peers are compared as IPv4 where they are that, and so is a network of ::ffff:0:0/96.
        match (address.to_canonical(), address) {
            (canonical @ IpAddr::V4(_), IpAddr::V6(_)) if (96..=most).contains(&bits) => {
                Ok(Self { address: canonical, bits: bits - 96 })
            }
            _ if bits <= most => Ok(Self { address, bits }),
            _ => Err(()),
        }
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for Proxies {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        let networks = words.map(|word| word.parse().map_err(|()| word.to_owned()));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    /// The address of the client behind a connection.
    ///
    /// `X-Forwarded-For` is read from its end, where the nearest proxy wrote, for as long as a trusted proxy says so: what
    /// stands before a stranger's address is that stranger's own invention. What is no address ends the reading.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            for word in value.as_bytes().rsplit(|byte| *byte == b',') {
                if !self.trust(client) {
                    return client;
                }
                // An empty element says nothing (RFC 9110 section 5.6.1.2).
                if word.trim_ascii().is_empty() {
                    continue;
                }
                let Some(said) = address_of(word) else { return client };
                client = said;
            }
        }
        client
    }

    /// Returns whether an address is a trusted proxy's.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

/// An address as proxies write it, with or without a port.
fn address_of(word: &[u8]) -> Option<IpAddr> {
    let word = std::str::from_utf8(word).ok()?.trim();
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    let with_port = || word.parse().ok().map(|address: SocketAddr| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// The pages that may open a WebSocket; none named: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl FromStr for Origins {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, String> {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(|word| origin(word).ok_or_else(|| word.to_owned())).collect::<Result<_, _>>().map(Self)
    }
}

/// An origin as browsers write it (RFC 6454 section 6.2): lower case, and the usual port left out.
fn origin(word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let (scheme, authority) = word.split_once("://")?;
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ if is_scheme_of_pages(scheme) => "",
        _ => return None,
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_good = !authority.is_empty() && !authority.starts_with(':') && authority.bytes().all(is_host);
    let authority = authority.strip_suffix(usual).unwrap_or(authority);
    is_good.then(|| format!("{scheme}://{authority}"))
}

/// Whether pages of this scheme have an origin: those of the web views of apps and of browsers' extensions do, such as
/// `capacitor://localhost`.
fn is_scheme_of_pages(scheme: &str) -> bool {
    const WITHOUT: [&str; 7] = ["file", "ftp", "ws", "wss", "data", "blob", "about"];
    let is_scheme_char =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(is_scheme_char)
        && !WITHOUT.contains(&scheme)
}

impl Origins {
    /// Whether who asks may watch. Only browsers name an origin, and they cannot be made to leave it out.
    #[must_use]
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::ORIGIN).iter();
        match (named.next(), named.next()) {
            (Some(origin), None) => self.are_all() || self.have(origin),
            (None, _) => true,
            (Some(_), Some(_)) => self.are_all(),
        }
    }

    /// Returns whether no origin is named, so that pages of all may watch.
    pub(super) const fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether this origin is named.
    pub(super) fn have(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|known| known.as_bytes() == origin.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies: Proxies = "10.0.0.0/8, 192.0.2.7,2001:db8::/32".parse().unwrap();
        proxies.client(peer.parse().unwrap(), &headers("x-forwarded-for", forwarded)).to_string()
    }

    #[test]
    fn a_client_is_who_the_last_trusted_proxy_says() {
        let cases: [(&str, &[&str], &str); 21] = [
            ("198.51.100.1", &[], "198.51.100.1"),
            ("198.51.100.1", &["203.0.113.5"], "198.51.100.1"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.5"], "203.0.113.5"),
            ("10.1.2.3", &["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
            ("10.1.2.3", &["203.0.113.5, 10.9.9.9"], "203.0.113.5"),
            ("10.1.2.3", &["1.1.1.1, 203.0.113.5, 192.0.2.7, 10.9.9.9"], "203.0.113.5"),
            ("10.1.2.3", &["203.0.113.5", "10.9.9.9"], "203.0.113.5"),
            ("10.1.2.3", &["10.9.9.9", "203.0.113.5"], "203.0.113.5"),
            ("10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            ("10.1.2.3", &[""], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.5,, "], "203.0.113.5"),
            ("10.1.2.3", &["unknown"], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.5, garbage"], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.5, garbage, 10.9.9.9"], "10.9.9.9"),
            ("10.1.2.3", &["203.0.113.5:4711"], "203.0.113.5"),
            ("10.1.2.3", &["[2001:db9::1]:4711"], "2001:db9::1"),
            ("10.1.2.3", &["[2001:db9::1]"], "2001:db9::1"),
            ("::ffff:10.1.2.3", &["::ffff:203.0.113.5"], "203.0.113.5"),
            ("2001:db8::9", &["2001:db9::1"], "2001:db9::1"),
            ("192.0.2.8", &["203.0.113.5"], "192.0.2.8"),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(client("10.1.2.3", &[&vec!["10.9.9.9"; 500].join(",")]), "10.9.9.9");
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0", "proxy", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(wrong.parse::<Proxies>(), Err(wrong.to_owned()));
        }
        assert!("0.0.0.0/0".parse::<Proxies>().unwrap().trust("203.0.113.5".parse().unwrap()));
        let mapped: Proxies = "::ffff:10.0.0.0/104".parse().unwrap();
        assert_eq!(
            mapped,
            "10.0.0.0/8".parse().unwrap(),
            "symptom: it was accepted, and no peer was ever in it"
        );
    }

    #[test]
    fn an_origin_is_allowed_exactly() {
        let origins: Origins =
            "https://live.example, http://127.0.0.1:8080,HTTPS://App.Example:443/,capacitor://localhost,\
             chrome-extension://abc"
                .parse()
                .unwrap();
        let allows = |values: &[&str]| origins.allow(&headers("origin", values));
        for good in [
            "https://live.example",
            "http://127.0.0.1:8080",
            "https://app.example",
            "capacitor://localhost",
            "chrome-extension://abc",
        ] {
            assert!(allows(&[good]), "{good}");
        }
        let bad = [
            "http://live.example",
            "https://live.example:8443",
            "https://live.example/",
            "https://live.example.evil.example",
            "https://evil-live.example",
            "https://sub.live.example",
            "https://live.exampl",
            "null",
            "",
            "https://LIVE.example ",
            "file://",
        ];
        for bad in bad {
            assert!(!allows(&[bad]), "{bad}");
        }
        assert!(!allows(&["https://live.example", "https://live.example"]), "two");
        assert!(allows(&[]), "no browser");
        assert!(Origins::default().allow(&headers("origin", &["https://elsewhere.example"])));
        for wrong in [
            "*",
            "a.example",
            "https://",
            "https://a/b",
            "ftp://a",
            "wss://a",
            "null",
            "https://:443",
            "https://a b",
        ] {
            assert_eq!(wrong.parse::<Origins>(), Err(wrong.to_owned()), "{wrong}");
        }
    }

    proptest! {
        /// Nobody but a trusted proxy has a say.
        #[test]
        fn a_stranger_is_who_connects(forwarded in "[ -~]{0,200}", peer in any::<u32>()) {
            let peer = IpAddr::from(peer.to_be_bytes());
            let proxies: Proxies = "10.0.0.0/8".parse().unwrap();
            prop_assume!(!proxies.trust(peer));
            prop_assert_eq!(proxies.client(peer, &headers("x-forwarded-for", &[&forwarded])), peer);
        }
    }
}
