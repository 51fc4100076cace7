//! Our objects as istiod tells them to the gateway's Envoy: routes (RDS) and clusters (CDS).
//! <https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto>

use serde_json::{Value, json};

use super::model::{Balance, Destination, Match, Mesh, Retries, Route, Weighted};

/// Istio sets each of Envoy's limits of a cluster, which would be 1,024 sockets, so high.
const NO_LIMIT: u32 = u32::MAX;

/// Envoy's `RouteConfiguration`.
pub(crate) fn routes(mesh: &Mesh) -> Value {
    let routes: Vec<_> = mesh.routes.http.iter().flat_map(route).collect();
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "fanfare",
        "ignore_port_in_host_matching": true,
        "virtual_hosts": [{"name": "fanfare", "domains": mesh.routes.hosts, "routes": routes}],
    })
}

/// A route for each of the matches, since Envoy asks for all that a route's match names.
fn route(route: &Route) -> Vec<Value> {
    let action = action(route);
    let of = |matched: Value| json!({"name": route.name, "match": matched, "route": action});
    if route.r#match.is_empty() {
        vec![of(json!({"prefix": "/"}))]
    } else {
        route.r#match.iter().map(|each| of(matched(each))).collect()
    }
}

fn matched(each: &Match) -> Value {
    let exact = |(name, value): (&String, &super::model::Exact)| json!({"name": name, "string_match": {"exact": value.exact}});
    let headers: Vec<_> = each.headers.iter().map(exact).collect();
    let queries: Vec<_> = each.query_params.iter().map(exact).collect();
    json!({"prefix": "/", "headers": headers, "query_parameters": queries})
}

fn action(route: &Route) -> Value {
    // istiod refuses a `timeout` of zero, and writes it into each route that has none.
    let mut action = json!({"timeout": "0s", "retry_policy": retries(&route.retries)});
    // As Istio does: who has no weight is left out, and a lone destination is no choice.
    let chosen: Vec<_> = route.route.iter().filter(|each| each.weight != Some(0)).collect();
    match chosen[..] {
        [Weighted { destination, .. }] => action["cluster"] = cluster_name(destination).into(),
        _ => {
            let cluster =
                |each: &&Weighted| json!({"name": cluster_name(&each.destination), "weight": each.weight});
            let clusters: Vec<_> = chosen.iter().map(cluster).collect();
            action["weighted_clusters"] = json!({"clusters": clusters});
        }
    }
    action
}

fn retries(retries: &Retries) -> Value {
    json!({
        "retry_on": retries.retry_on,
        "num_retries": retries.attempts,
        // Istio asks another pod than the one that failed.
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }],
        "host_selection_retry_max_attempts": "5",
    })
}

/// As Istio names it.
fn cluster_name(destination: &Destination) -> String {
    format!("outbound|{}|{}|{}", destination.port.number, destination.subset, destination.host)
}

/// Envoy's `Cluster`s: each with the label `track` of its pods. Their endpoints stand in files of that name in `folder`.
pub(crate) fn clusters(mesh: &Mesh, folder: &str) -> Vec<(String, Value)> {
    let policy = &mesh.rule.traffic_policy;
    let balance = match policy.load_balancer.simple {
        Balance::LeastRequest => "LEAST_REQUEST",
        Balance::RoundRobin => "ROUND_ROBIN",
        Balance::Random => "RANDOM",
    };
    let limits = json!({"max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT, "max_requests": NO_LIMIT, "max_retries": NO_LIMIT});
    let port = mesh.service.ports[0].port;
    let cluster = |subset: &super::model::Subset| {
        let labels: Vec<_> = subset.labels.iter().collect();
        let [(key, track)] = labels[..] else { panic!("a subset is a track: {subset:?}") };
        assert_eq!(key, "track", "{subset:?}");
        let cluster = json!({
            "name": format!("outbound|{port}|{}|{}", subset.name, mesh.rule.host),
            "type": "EDS",
            "eds_cluster_config": {"eds_config": from_file(&format!("{folder}/{track}.json"))},
            "lb_policy": balance,
            "connect_timeout": seconds(&policy.connection_pool.tcp.connect_timeout),
            "circuit_breakers": {"thresholds": [limits]},
        });
        (track.clone(), cluster)
    };
    mesh.rule.subsets.iter().map(cluster).collect()
}

/// A source of configuration that is a file, read again when another is moved there.
pub(crate) fn from_file(path: &str) -> Value {
    json!({"path_config_source": {"path": path}, "resource_api_version": "V3"})
}

/// Protobuf's JSON knows seconds only.
fn seconds(text: &str) -> String {
    let time = humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text:?} is no time: {error}"));
    format!("{}s", time.as_secs_f64())
}
