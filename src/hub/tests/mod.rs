//! The hub without sockets: wires that a test scripts, on a paused clock.

mod allocations;
mod audience;
mod deferred;
mod delivery;
mod joining;
mod lagging;
mod lanes;
mod locating;
mod model;
mod priority;
mod property;
mod rig;
mod standing;
mod threads;
mod window;
mod wire;
