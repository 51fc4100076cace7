//! Hub, keepers and links together, on a real Redis: thousands of seats, and not one socket.

mod house;
mod storms;

#[expect(unreachable_pub, dead_code, reason = "shared with the tests outside the crate")]
#[path = "../../../tests/world"]
pub(super) mod world {
    pub mod redis;

    mod patience;
    pub(in crate::shards) use patience::eventually;
}
