//! Load on pods: viewers that move, and posts that make a pod hot.

mod crowd;
mod heat;

pub use crowd::{Crowd, Journey};
pub use heat::Heater;
