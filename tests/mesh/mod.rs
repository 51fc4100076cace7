//! What our Istio objects mean, in the words of Envoy: the fields that we use, and no others.

mod envoy;
mod model;

pub(crate) use envoy::{clusters, from_file, routes};
pub(crate) use model::Mesh;
