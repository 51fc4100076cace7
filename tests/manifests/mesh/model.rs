//! The objects of `k8s/overlays/istio`, field by field. A field that is not here is a fault: Istio drops what it does not
//! know in silence, and so would whoever reads a manifest by halves.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_yaml_ng::Value;

const API: &str = "networking.istio.io/v1";

/// The objects together.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    pub(crate) gateway: Gateway,
    pub(crate) routes: VirtualService,
    pub(crate) rule: DestinationRule,
    pub(crate) service: Service,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Object<S> {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: S,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    #[serde(default, rename = "labels")]
    _labels: BTreeMap<String, String>,
}

/// Which ports are open, for which names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    #[serde(rename = "selector")]
    _selector: BTreeMap<String, String>,
    pub(crate) servers: Vec<Server>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    #[serde(rename = "port")]
    _port: ServerPort,
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: Tls,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerPort {
    #[serde(rename = "number")]
    _number: u16,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "protocol")]
    _protocol: String,
}

/// Either a certificate, or nothing but the way to where there is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Tls {
    pub(crate) mode: Option<String>,
    #[serde(rename = "minProtocolVersion")]
    _min_protocol_version: Option<String>,
    pub(crate) credential_name: Option<String>,
    #[serde(default)]
    pub(crate) https_redirect: bool,
}

/// Where requests go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualService {
    pub(crate) hosts: Vec<String>,
    pub(crate) gateways: Vec<String>,
    pub(crate) http: Vec<Route>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) name: String,
    /// One of these; none: every request.
    #[serde(default)]
    pub(crate) r#match: Vec<Match>,
    pub(crate) route: Vec<Weighted>,
    pub(crate) retries: Retries,
}

/// All of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Match {
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Exact>,
    #[serde(default)]
    pub(crate) query_params: BTreeMap<String, Exact>,
    pub(crate) uri: Option<Regex>,
}

/// A path that has to match as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Regex {
    pub(crate) regex: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exact {
    pub(crate) exact: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weighted {
    pub(crate) destination: Destination,
    /// Of 100; a lone destination may leave it out.
    pub(crate) weight: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) subset: String,
    pub(crate) port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Port {
    pub(crate) number: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    pub(crate) retry_on: String,
}

/// Which pods belong to a subset, and how they are spoken to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DestinationRule {
    pub(crate) host: String,
    pub(crate) traffic_policy: TrafficPolicy,
    pub(crate) subsets: Vec<Subset>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TrafficPolicy {
    #[serde(rename = "loadBalancer")]
    _load_balancer: LoadBalancer,
    pub(crate) connection_pool: ConnectionPool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBalancer {
    #[serde(rename = "simple")]
    _simple: Balance,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Balance {
    LeastRequest,
    RoundRobin,
    Random,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionPool {
    #[serde(rename = "tcp")]
    _tcp: Tcp,
    pub(crate) http: HttpPool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HttpPool {
    pub(crate) idle_timeout: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Tcp {
    #[serde(rename = "connectTimeout")]
    _connect_timeout: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subset {
    pub(crate) name: String,
    #[serde(rename = "labels")]
    _labels: BTreeMap<String, String>,
}

/// The Service of both tracks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    #[serde(rename = "selector")]
    _selector: BTreeMap<String, String>,
    pub(crate) ports: Vec<ServicePort>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServicePort {
    #[serde(rename = "name")]
    _name: String,
    pub(crate) app_protocol: String,
    pub(crate) port: u16,
    #[serde(rename = "targetPort")]
    _target_port: String,
}

impl Mesh {
    /// Reads the objects, in any order.
    ///
    /// # Errors
    /// Says which object has a field or value that nobody here understands, or which is absent or does not fit another.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (mut gateway, mut routes, mut rule, mut service) = (None, None, None, None);
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let object = Value::deserialize(document).map_err(|error| error.to_string())?;
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            match kind.as_str() {
                "Gateway" => gateway = Some(spec(object, API)?),
                "VirtualService" => routes = Some(spec(object, API)?),
                "DestinationRule" => rule = Some(spec(object, API)?),
                "Service" => service = Some(spec(object, "v1")?),
                other => return Err(format!("an object of the kind {other:?}")),
            }
        }
        let absent = |kind: &str| format!("no {kind}");
        let mesh = Self {
            gateway: gateway.ok_or_else(|| absent("Gateway"))?,
            routes: routes.ok_or_else(|| absent("VirtualService"))?,
            rule: rule.ok_or_else(|| absent("DestinationRule"))?,
            service: service.ok_or_else(|| absent("Service"))?,
        };
        mesh.check()?;
        Ok(mesh)
    }

    /// Whether the objects fit each other.
    fn check(&self) -> Result<(), String> {
        for server in &self.gateway.servers {
            let serves = server.tls.mode.as_deref() == Some("SIMPLE") && server.tls.credential_name.is_some();
            if serves == server.tls.https_redirect {
                return Err(format!("a server has a certificate, or leads to one: {server:?}"));
            }
            if let Some(host) = self.routes.hosts.iter().find(|host| !server.hosts.contains(*host)) {
                return Err(format!("the Gateway has no host {host}"));
            }
        }
        if self.routes.gateways != [NAME] || self.rule.host != NAME {
            return Err("an object names another than fanfare".to_owned());
        }
        if self.service.ports.iter().any(|port| port.app_protocol != "http") {
            return Err("a port without HTTP has no routes".to_owned());
        }
        self.routes.http.iter().try_for_each(|route| self.check_route(route))
    }

    fn check_route(&self, route: &Route) -> Result<(), String> {
        let fault = |what: &str| Err(format!("route {}: {what}", route.name));
        let is_empty =
            |each: &Match| each.headers.is_empty() && each.query_params.is_empty() && each.uri.is_none();
        if route.r#match.iter().any(is_empty) {
            return fault("a match that matches everything");
        }
        for Weighted { destination, .. } in &route.route {
            let is_known = self.rule.subsets.iter().any(|subset| subset.name == destination.subset);
            let is_open = self.service.ports.iter().any(|port| port.port == destination.port.number);
            if destination.host != NAME || !is_known || !is_open {
                return fault(&format!("nobody is at {destination:?}"));
            }
        }
        let weights: Vec<_> = route.route.iter().map(|each| each.weight.unwrap_or(100)).collect();
        if weights.iter().sum::<u32>() != 100 { fault("the weights are not 100 together") } else { Ok(()) }
    }
}

/// The name of each of the objects, and of the host that is the Service.
const NAME: &str = "fanfare";

fn spec<S: DeserializeOwned>(object: Value, api: &str) -> Result<S, String> {
    let told = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let object: Object<S> = serde_yaml_ng::from_value(object).map_err(|error| format!("{told}: {error}"))?;
    if object.api_version != api || object.kind != told || object.metadata.name != NAME {
        return Err(format!("{told}: {} {} of {}", object.kind, object.metadata.name, object.api_version));
    }
    Ok(object.spec)
}
