//! A viewer's task that panics; a viewer's posts.

mod forged_posts;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn a_viewers_task_that_panics_is_counted_and_one_that_ends_is_not() {
    let sli = Sli::default();
    let serve = |panics: bool, sli: Sli| async move {
        let _watch = PanicWatch(&sli);
        assert!(!panics, "on purpose");
    };
    assert!(AssertUnwindSafe(serve(true, sli.clone())).catch_unwind().await.is_err());
    assert!(AssertUnwindSafe(serve(false, sli.clone())).catch_unwind().await.is_ok());
    assert_eq!(sli.counts().panics, 1);
}
