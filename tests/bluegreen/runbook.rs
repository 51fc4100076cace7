//! docs/blue-green.md, followed line by line. What is for `kubectl` happens to this machine's pods and Envoy instead;
//! everything else runs in a shell as it stands, and shows what the document says it shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::stage::{Stage, manifests, rehearsed};

/// A block of the document.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// Commands.
    Commands(String),
    /// What the commands before it show.
    Shown(String),
}

/// The blocks that say `sh` and `text`.
fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut parts = document.split("\n```");
    parts.next();
    // Every other part is between two blocks.
    for part in parts.step_by(2) {
        let (language, text) = part.split_once('\n').unwrap();
        blocks.push(match language {
            "sh" => Block::Commands(text.to_owned()),
            "text" => Block::Shown(text.to_owned()),
            other => panic!("a block of {other:?}"),
        });
    }
    blocks
}

/// Who follows the document, in a folder with a copy of the manifests.
struct Reader {
    stage: Stage,
    folder: PathBuf,
    /// The document's own functions.
    definitions: String,
}

impl Reader {
    async fn follow(&self, commands: &str) -> String {
        let (mut shown, mut script) = (String::new(), String::new());
        for line in commands.lines() {
            if line.starts_with("kubectl ") {
                shown.push_str(&self.run(&std::mem::take(&mut script)).await);
                self.kubectl(line).await;
            } else {
                script.push_str(line);
                script.push('\n');
            }
        }
        shown.push_str(&self.run(&script).await);
        shown
    }

    /// Runs what is no command of Kubernetes.
    async fn run(&self, script: &str) -> String {
        let script = format!("set -euo pipefail\n{}\n{script}", self.definitions);
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(&self.folder);
        shell.env("FANFARE", format!("http://{}", self.stage.public())).env_remove("TOKEN");
        let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command of Kubernetes would do. The pods of both tracks run from the beginning.
    async fn kubectl(&self, command: &str) {
        match command.split(" #").next().unwrap().trim() {
            "kubectl apply -k k8s/overlays/istio" => {
                self.stage.envoy.apply(&rehearsed(&self.folder.join("k8s"))).await;
            }
            "kubectl -n fanfare scale deployment/fanfare-blue --replicas=0" => self.stage.drain_blue().await,
            "kubectl apply -k k8s/overlays/green" => self.stage.has_ready(2, 2).await,
            look if LOOKS.iter().any(|known| look.starts_with(known)) => {}
            other => panic!("the runbook has a step that this test does not know: {other}"),
        }
    }
}

/// What changes nothing here: there is no cluster to look at, and no autoscaler.
const LOOKS: [&str; 4] = [
    "kubectl diff -k ",
    "kubectl -n fanfare get ",
    "kubectl -n fanfare rollout status ",
    "kubectl -n fanfare patch hpa fanfare-green ",
];

/// Every command of the release shows what the runbook says, from the first look to the last viewer of blue.
#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_shows_what_it_says() {
    let document = fs::read_to_string(manifests().with_file_name("docs/blue-green.md")).unwrap();
    let (release, _) = document.split_once("\n## Back").expect("the way back has a section");
    let mut blocks = blocks(release).into_iter().peekable();
    let Some(Block::Commands(definitions)) = blocks.next() else { panic!("first come the functions") };
    let stage = Stage::start(&[("FANFARE_SETTLE", "1s"), ("FANFARE_DRAIN", "2s")]).await;
    let folder = std::env::temp_dir().join(format!("fanfare-runbook-{}", std::process::id()));
    copy(&manifests(), &folder.join("k8s"));
    let reader = Reader { stage, folder, definitions };
    let (mut commands, mut compared) = (0, 0);
    while let Some(block) = blocks.next() {
        let Block::Commands(text) = block else { panic!("nothing shows {block:?}") };
        let shown = reader.follow(&text).await;
        commands += text.lines().count();
        if let Some(Block::Shown(expected)) = blocks.next_if(|next| matches!(next, Block::Shown(_))) {
            assert_eq!(shown.trim_end(), expected.trim_end(), "after\n{text}");
            compared += 1;
        }
    }
    println!("{commands} lines of commands followed, {compared} answers as the runbook shows them");
    assert!(compared >= 6, "the runbook says what to see");
    fs::remove_dir_all(&reader.folder).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
