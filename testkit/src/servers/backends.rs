//! Four backends for the same tests.

/// The shard in the pod's own memory.
pub mod embedded {
    use std::sync::Arc;

    use crate::Pod;

    /// How many entries a history may keep beyond its window.
    pub const KEPT_LONGER: usize = 0;

    /// The pod with default settings that tests share.
    pub fn shared() -> Arc<Pod> {
        Pod::shared()
    }

    /// A pod of the test's own.
    pub fn start(settings: &[(&str, &str)]) -> Pod {
        Pod::start(settings)
    }
}

/// A Redis as the only shard.
pub mod on_redis {
    use std::sync::Arc;

    use super::super::pod::Shared;
    use crate::{Pod, RedisServer};

    /// How many entries a history may keep beyond its window: Redis trims whole nodes of 100 (`MAXLEN ~`).
    pub const KEPT_LONGER: usize = 100;

    /// The pod with default settings that tests share.
    pub fn shared() -> Arc<Pod> {
        static SHARED: Shared = Shared::new();
        SHARED.or_start(|| start(&[]))
    }

    /// A pod of the test's own, on a Redis that ends with it.
    pub fn start(settings: &[(&str, &str)]) -> Pod {
        let redis = RedisServer::start();
        let shards = format!("a={}", redis.url());
        let pod = Pod::start(&[settings, &[("FANFARE_SHARDS", &shards)]].concat());
        pod.with_shard(redis)
    }
}

/// The shard in the pod's own memory, and TLS in front of it.
pub mod over_tls {
    use std::sync::Arc;

    use super::super::pod::Shared;
    use crate::Pod;

    /// How many entries a history may keep beyond its window.
    pub const KEPT_LONGER: usize = 0;

    /// The pod with default settings that tests share.
    pub fn shared() -> Arc<Pod> {
        static SHARED: Shared = Shared::new();
        SHARED.or_start(|| start(&[]))
    }

    /// A pod of the test's own.
    pub fn start(settings: &[(&str, &str)]) -> Pod {
        Pod::start_private(settings)
    }
}

/// The same, and viewers come over HTTP/2.
pub mod over_http2 {
    use std::sync::Arc;

    use super::super::pod::Shared;
    use crate::{Pod, watch_over_http2};

    /// How many entries a history may keep beyond its window.
    pub const KEPT_LONGER: usize = 0;

    /// The pod with default settings that tests share.
    pub fn shared() -> Arc<Pod> {
        static SHARED: Shared = Shared::new();
        SHARED.or_start(|| start(&[]))
    }

    /// A pod of the test's own.
    pub fn start(settings: &[(&str, &str)]) -> Pod {
        let pod = Pod::start_private(settings);
        watch_over_http2(pod.public);
        pod
    }
}
