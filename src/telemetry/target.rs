//! A collector: its protocol and address, and the exporters that speak to it.

use std::collections::HashMap;

use hyper::{HeaderMap, Uri};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig as _, WithTonicConfig as _,
    tonic_types::metadata::MetadataMap,
};

/// The destination of one signal. Endpoints with a scheme, time-outs, compression and headers are read by the exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The protocol.
    pub(super) protocol: Protocol,
    /// The address, where the exporter would read it in another way.
    pub(super) endpoint: Option<String>,
    /// Headers that the exporter does not find.
    pub(super) headers: Vec<(String, String)>,
}

impl Target {
    /// Makes the exporter of metrics.
    ///
    /// # Errors
    /// The exporter's reason.
    pub(super) fn metrics(&self) -> Result<MetricExporter, String> {
        let builder = MetricExporter::builder();
        let exporter = match self.protocol {
            Protocol::Grpc => self.addressed(builder.with_tonic()).with_metadata(self.metadata()).build(),
            _ => self.addressed(builder.with_http()).with_headers(self.headers()).build(),
        };
        exporter.map_err(|error| error.to_string())
    }

    /// Makes the exporter of spans.
    ///
    /// # Errors
    /// The exporter's reason.
    pub(super) fn spans(&self) -> Result<SpanExporter, String> {
        let builder = SpanExporter::builder();
        let exporter = match self.protocol {
            Protocol::Grpc => self.addressed(builder.with_tonic()).with_metadata(self.metadata()).build(),
            _ => self.addressed(builder.with_http()).with_headers(self.headers()).build(),
        };
        exporter.map_err(|error| error.to_string())
    }

    fn addressed<B: WithExportConfig>(&self, builder: B) -> B {
        let builder = builder.with_protocol(self.protocol);
        match &self.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        }
    }

    fn headers(&self) -> HashMap<String, String> {
        self.headers.iter().cloned().collect()
    }

    fn metadata(&self) -> MetadataMap {
        let header = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
        MetadataMap::from_headers(self.headers.iter().filter_map(header).collect::<HeaderMap>())
    }
}

/// Judges an endpoint; returns it where the exporter has to be told of it, as `http://host:port`.
///
/// # Errors
/// A fault with what is expected. Nothing of the endpoint is repeated: it may hold a password.
pub(super) fn endpoint(text: &str, protocol: Protocol, is_plain: bool) -> Result<Option<String>, String> {
    let expected = "expected http://host:port of a collector";
    let Some((scheme, _)) = text.split_once("://") else {
        // gRPC allows an address alone; without a word it means TLS.
        if protocol != Protocol::Grpc {
            return Err(format!("{expected}, found no http://"));
        }
        if !is_plain {
            return Err(format!(
                "{expected}, found no http://, which means TLS: that is left to the mesh (or set OTEL_EXPORTER_OTLP_INSECURE=true)"
            ));
        }
        let plain = format!("http://{text}");
        return host(&plain).map(|()| Some(plain)).map_err(|fault| format!("{expected}, {fault}"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => host(text).map(|()| None).map_err(|fault| format!("{expected}, {fault}")),
        "https" => Err(format!(
            "{expected}, found https://: TLS is left to the mesh or to a collector beside the pod"
        )),
        other => Err(format!("{expected}, found {other}://")),
    }
}

fn host(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|error| format!("found no URL: {error}"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // After user and password, and after the brackets of an IPv6 address, a colon begins the port.
    let names_port = authority.rsplit(['@', ']']).next().is_some_and(|rest| rest.contains(':'));
    match uri.host() {
        None | Some("") => Err("found no host".to_owned()),
        Some(_) if names_port && uri.port_u16().is_none() => Err("found a port that is none".to_owned()),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_http_address() {
        for protocol in [Protocol::Grpc, Protocol::HttpBinary, Protocol::HttpJson] {
            for good in [
                "http://collector:4317",
                "HTTP://collector",
                "http://[::1]:4318/",
                "http://10.0.0.1:1/a/b?c=d",
            ] {
                assert_eq!(endpoint(good, protocol, false), Ok(None), "{good}");
            }
            for (bad, reason) in [
                ("https://collector:4317", "found https://: TLS is left"),
                ("unix:///run/collector", "found unix://"),
                ("http://", "found no URL"),
                ("http://:4317", "found no"),
                ("http://collector:port", "found "),
                ("http://collector:99999999", "found a port that is none"),
                ("http://user name@collector", "found no URL"),
            ] {
                let fault = endpoint(bad, protocol, true).unwrap_err();
                assert!(fault.contains(reason) && fault.starts_with("expected http://"), "{bad}: {fault}");
            }
            assert!(!endpoint("ftp://u:secret@x", protocol, true).unwrap_err().contains("secret"));
        }
    }

    #[test]
    fn an_address_alone_is_for_grpc_without_tls() {
        let plain = endpoint("collector:4317", Protocol::Grpc, true);
        assert_eq!(plain, Ok(Some("http://collector:4317".to_owned())));
        assert!(endpoint("collector:4317", Protocol::Grpc, false).unwrap_err().contains("means TLS"));
        assert!(endpoint("collector:4318", Protocol::HttpBinary, true).unwrap_err().contains("no http://"));
        assert!(endpoint("not an address", Protocol::Grpc, true).is_err());
    }
}
