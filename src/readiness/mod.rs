//! Whether new viewers should come to this pod, and whether some of its own should go.
//!
//! A sampler reads the pod's load once a second; rules make of it whether the pod accepts or refuses; the [`Gate`]
//! holds the outcome, and `/ready`, the handshake and shedding read it there. Failing readiness steers only *new* viewers
//! away: the load does not fall by itself, which is why a pod leaves only if the others of its track have room (the
//! [`Fleet`]), limits what it accepts while it is hot, and asks its excess of viewers to move.

mod admission;
mod cgroup;
mod fleet;
mod gate;
mod hysteresis;
mod meter;
mod process;
mod rules;
mod sampler;
mod shed;
mod thresholds;

pub use admission::{Capacity, Refused};
pub use cgroup::QuotaSource;
pub use fleet::{Fleet, FleetView, Heartbeat, LeaseDecision, LeaseRequest};
pub use gate::{Gate, Reason, State};
pub use meter::Reading;
pub use sampler::{FleetMember, Readiness, ReadinessSettings};
pub use thresholds::Thresholds;
