//! The documented JavaScript client on every runtime that it is written for, and the documented Kotlin client.
//! `scripts/runtimes.sh`, a part of `make verify`, installs them and names their programs in the environment.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what fails here fails a test, and says so"
)]

use std::process::Command;

use testkit::{
    clients::{scenarios, tokens},
    root,
};

fn installed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run scripts/runtimes.sh"))
}

/// A program that runs the client, by the variable that names its path.
fn runtime(variable: &str, arguments: &[&str], script: &str) -> Command {
    let mut command = Command::new(installed(variable));
    command.args(arguments).arg(root().join("tests/clients").join(script));
    command
}

fn module(mut command: Command) -> Command {
    command.arg(root().join("src/http/page/watch-stream.mjs"));
    command
}

/// A browser, led by a program that Node runs.
fn browser(name: &str) -> Command {
    let mut command = runtime("NODE_24", &[], "browser.mjs");
    command.arg(name);
    module(command)
}

/// The Kotlin client of docs/clients.md, compiled with its driver.
fn kotlin() -> Command {
    let mut command = Command::new("java");
    command.args([
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &installed("KOTLIN_CLASSES"),
        "DriveKt",
    ]);
    command
}

/// Every scenario on one runtime.
macro_rules! on {
    ($($name:ident: $command:expr;)*) => {$(
        mod $name {
            use super::*;

            fn command() -> Command {
                $command
            }

            #[tokio::test]
            async fn shows_everything_once() {
                scenarios::shows_everything_once(command).await;
            }

            #[tokio::test]
            async fn moves_at_a_drain() {
                scenarios::moves_at_a_drain(command).await;
            }

            #[tokio::test]
            async fn keeps_posts_of_an_outage() {
                scenarios::posts_survive_a_frozen_shard(command).await;
            }

            #[tokio::test]
            async fn keeps_posts_typed_offline() {
                scenarios::posts_typed_while_offline_arrive_in_order(command).await;
            }

            #[tokio::test]
            async fn stays_the_same_guest() {
                scenarios::stays_the_same_guest(command, None).await;
            }

            #[tokio::test]
            async fn with_a_token_stays_the_same_guest_where_there_are_no_keys() {
                scenarios::stays_the_same_guest(command, Some("of.no.key")).await;
            }

            #[tokio::test]
            async fn does_not_refresh_with_the_token_that_it_shows() {
                tokens::does_not_refresh_with_the_token_that_it_shows(command).await;
            }

            #[tokio::test]
            async fn fetches_one_token_for_several_warnings() {
                tokens::fetches_one_token_for_several_warnings(command).await;
            }

            #[tokio::test]
            async fn asks_again_for_a_token_that_it_was_not_given() {
                tokens::asks_again_for_a_token_that_it_was_not_given(command).await;
            }

            #[tokio::test]
            async fn comes_back() {
                scenarios::comes_back_after_a_loss_and_a_refusal(command).await;
            }

            #[tokio::test]
            async fn comes_back_when_it_was_told() {
                scenarios::comes_back_when_it_was_told(command).await;
            }
        }
    )*};
}

/// What a program leaves behind when its client is stopped: not for browsers, which go on.
macro_rules! stopped_on {
    ($($name:ident: $command:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            scenarios::leaves_nothing_behind(|| $command).await;
        }
    )*};
}

on! {
    node_22: module(runtime("NODE_22", &[], "client.mjs"));
    node_24: module(runtime("NODE_24", &[], "client.mjs"));
    deno: module(runtime("DENO", &["run", "--quiet", "--allow-all"], "client.mjs"));
    bun: module(runtime("BUN", &[], "client.mjs"));
    chromium: browser("chromium");
    firefox: browser("firefox-esr");
    kotlin: kotlin();
}

stopped_on! {
    stopped_on_node_22: module(runtime("NODE_22", &[], "client.mjs"));
    stopped_on_node_24: module(runtime("NODE_24", &[], "client.mjs"));
    stopped_on_deno: module(runtime("DENO", &["run", "--quiet", "--allow-all"], "client.mjs"));
    stopped_on_bun: module(runtime("BUN", &[], "client.mjs"));
    stopped_in_kotlin: kotlin();
}
