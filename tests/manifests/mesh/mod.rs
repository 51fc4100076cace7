//! The Istio objects of the overlay as the tests read them: the fields that we use, and no others. istiod's own reading
//! is in `tests/istiod`.

mod model;

pub(super) use model::{Exact, Match, Mesh, Regex, Route};
