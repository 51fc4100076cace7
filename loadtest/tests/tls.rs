//! Servers behind TLS: a real pod with a certificate of an authority that is trusted, or not.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use testkit::{Authority, Pod};

use crate::local::{get, program};

const SHAPE: &str = "--viewers 6 --streams 2 --rate 20 --seconds 1 --idle-ms 10 --handshake-ms 60000";

/// A pod with a certificate for 127.0.0.1, its authority, and a stranger's certificate, which signed nothing.
struct Private(Pod);

impl Private {
    fn new() -> Self {
        let pod = Pod::start_private(&[("FANFARE_POD", "private")]);
        pod.authority().issue("stranger");
        Self(pod)
    }

    /// A file beside the certificates, which goes with them.
    fn file(&self, name: &str) -> String {
        self.0.authority().file(name)
    }

    fn command(&self, flags: &str) -> Command {
        let mut command = Command::new(program());
        command.args(["run", "--json", &self.file("report.json")]).args(flags.split_whitespace());
        command
    }

    fn run(&self, flags: &str) -> (Output, Value) {
        let output = self.command(flags).output().unwrap();
        (output, serde_json::from_slice(&fs::read(self.file("report.json")).unwrap()).unwrap())
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Viewers, posters, resumers, stuck and slow viewers and REST posts over TLS: every promise is checked, and holds.
#[test]
fn a_scenario_over_tls_passes_its_checks() {
    let private = Private::new();
    let scenario = private.file("all.toml");
    fs::write(
        &scenario,
        "about = \"a bit of everything\"\nviewers = 6\nstreams = 2\nrate = 20\nseconds = 2\n\n\
         [slow]\nviewers = 2\nbytes_a_second = 4000\n\n[churn]\nviewers = 2\nevery = 0.5\n",
    )
    .unwrap();
    let flags = format!(
        "--url wss://{0} --rest-url https://{0} --ca {1} --scenario {scenario} --idle-ms 10 --handshake-ms 60000 \
         --resumers 2 --stuck 1 --gifts-per-second 2 --request-ms 60000 --window-ms 60000 \
         --tolerate late,stuck --slo-deliver-ms 60000 --slo-join-ms 60000 --ops http://{2}",
        private.0.public,
        private.file("ca.pem"),
        private.0.ops,
    );
    let (output, report) = private.run(&flags);
    let (said, complaints) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{said}\n{complaints}");
    assert!(said.contains(&format!("wss://{}", private.0.public)), "{said}");
    // Two streams: 20 comments and 2 gifts a second, for 2 s.
    assert_eq!((&report["posts"]["offered"], &report["posts"]["acked"]), (&88.into(), &88.into()));
    assert!(report["counts"]["resumed"].as_u64().unwrap() >= 6, "{report}");
    assert!(report["meta"]["pods"][0].as_str().unwrap().starts_with("private "), "{report}");
    let metrics = get(private.0.ops, "/metrics");
    let mut acked = metrics.lines().filter(|line| line.starts_with("fanfare_posts_total{"));
    let acked = acked.find(|line| line.contains(r#"outcome="acked""#)).unwrap();
    assert!(acked.ends_with(" 88"), "the pod itself took them: {acked}");
}

/// Several processes share the roots, and a large frame takes several records.
#[test]
fn processes_of_the_tester_speak_tls_too() {
    let private = Private::new();
    let flags = format!("--url wss://{} --ca {} {SHAPE}", private.0.public, private.file("ca.pem"));
    let slow = "--processes 2 --window-ms 60000 --slo-deliver-ms 60000 --slo-join-ms 60000";
    let (output, report) = private.run(&format!("{flags} {slow}"));
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    assert_eq!(report["processes"], 2);
}

/// What is signed by a stranger, or for somebody else, is not trusted: nothing is measured, and the flag is named.
#[test]
fn a_server_that_is_not_trusted_is_not_measured() {
    let private = Private::new();
    let public = private.0.public.to_string();
    let other_name = public.replace("127.0.0.1", "localhost");
    let port = private.0.public.port();
    for (url, ca, why) in [
        (
            &public,
            "stranger.pem",
            "the server's certificate is not trusted: give its authority's with --ca FILE",
        ),
        (&other_name, "ca.pem", "the server's certificate is for another name than the URL's host"),
        (&format!("127.0.0.2:{port}"), "ca.pem", "connect: connection refused"),
        (&private.0.ops.to_string(), "ca.pem", "the server does not speak TLS: is its URL ws://?"),
    ] {
        let (output, report) = private.run(&format!("--url wss://{url} --ca {} {SHAPE}", private.file(ca)));
        let (said, _) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches(": not measured").count(), 4, "{said}");
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!((&report["join_failures"][why], &report["posts"]["offered"]), (&8.into(), &0.into()));
    }
}

/// Symptom: a server with a certificate that signed itself, as `openssl req -x509` makes it, was explained with
/// `Other(OtherError(CaUsedAsEndEntity))`. Cause: the library has no words for what it only passes on.
#[test]
fn a_server_with_an_authoritys_own_certificate_is_explained() {
    let authority = Authority::create();
    let (certificate, key) = (authority.file("ca.pem"), authority.file("ca.key"));
    let pod = Pod::start(&[("FANFARE_TLS_CERT", &certificate), ("FANFARE_TLS_KEY", &key)]);
    let flags = format!("run --url wss://{} --ca {certificate} {SHAPE}", pod.public);
    let output = Command::new(program()).args(flags.split_whitespace()).output().unwrap();
    let (said, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let why = "the server's certificate is an authority's own: give the server one with CA:FALSE";
    assert!(said.contains(why), "{said}");
}

/// Symptom: with ws:// where wss:// was meant, "cut in the handshake: unexpected end of file" was all that was told.
#[test]
fn a_server_that_speaks_tls_is_guessed_where_the_url_has_none() {
    let private = Private::new();
    let (output, report) = private.run(&format!("--url ws://{} {SHAPE}", private.0.public));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = "the server ended the connection without an answer: is its URL wss://?";
    assert_eq!(report["join_failures"][why], 8, "{report}");
}

/// REST posts check the certificate as viewers do.
#[test]
fn rest_posts_to_a_server_that_is_not_trusted_are_explained() {
    let private = Private::new();
    let flags =
        "--viewers 0 --rest --rate 20 --seconds 0.5 --idle-ms 10 --window-ms 300 --rest-connections 2";
    let (output, report) = private.run(&format!(
        "--url https://{} --ca {} {flags}",
        private.0.public,
        private.file("stranger.pem")
    ));
    let (said, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("REST: the server's certificate is not trusted"), "{said}");
    assert_eq!((&report["posts"]["offered"], &report["posts"]["acked"]), (&10.into(), &0.into()));
}

/// Without `--ca` the system's authorities are trusted, where OpenSSL's variables say that they are.
#[test]
fn without_the_flag_the_authorities_of_the_system_are_trusted() {
    let private = Private::new();
    for (trusted, code) in [("ca.pem", 0), ("stranger.pem", 1)] {
        let lenient = "--window-ms 60000 --slo-deliver-ms 60000 --slo-join-ms 60000";
        let mut command = private.command(&format!("--url wss://{} {SHAPE} {lenient}", private.0.public));
        let output =
            command.env("SSL_CERT_FILE", private.file(trusted)).env_remove("SSL_CERT_DIR").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{trusted}: {:?}", texts(&output));
    }
    let mut command = private.command(&format!("--url wss://{} {SHAPE}", private.0.public));
    let none = command.env("SSL_CERT_FILE", "/nowhere").env_remove("SSL_CERT_DIR").output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{:?}", texts(&none));
    assert!(texts(&none).1.contains("give one with --ca FILE"), "{:?}", texts(&none));
}

/// A file that holds no authority is an error before the run.
#[test]
fn a_file_without_an_authority_is_told_before_anything_is_opened() {
    let folder = std::env::temp_dir().join(format!("tester-tls-files-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let empty = folder.join("empty.pem");
    fs::write(&empty, "").unwrap();
    for (url, file, told) in [
        ("wss://127.0.0.1:1", "/nowhere/ca.pem", "--ca /nowhere/ca.pem: "),
        ("wss://127.0.0.1:1", empty.to_str().unwrap(), "expected a certificate in PEM"),
        ("ws://127.0.0.1:1", "ca.pem", "--ca: expected a wss:// or https:// URL beside it"),
    ] {
        let output = Command::new(program()).args(["run", "--url", url, "--ca", file]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{:?}", texts(&output));
        assert!(texts(&output).1.contains(told), "{told}: {:?}", texts(&output));
    }
    fs::remove_dir_all(&folder).unwrap();
}
