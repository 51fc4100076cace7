//! For a person: the runbook against this machine's pods and Envoy. `scripts/bluegreen.sh rehearse`.

use std::{fs, time::Duration};

use testkit::pause;

use super::stage::{Stage, manifests, rehearsed};

/// Follows `virtual-service.yaml` as it is edited, until standard input ends.
#[tokio::test(flavor = "multi_thread")]
async fn rehearsal() {
    let stage = Stage::start(&[("FANFARE_SETTLE", "5s"), ("FANFARE_DRAIN", "30s")]).await;
    let pids: Vec<_> = stage.blue.iter().map(|pod| pod.pid.to_string()).collect();
    println!("Two blue and two green pods stand behind an Envoy. In another shell, in this folder:\n");
    println!("  export FANFARE=http://{}\n", stage.public());
    println!("and then as docs/blue-green.md says, but for the lines that begin with kubectl:");
    println!("  apply -k k8s/overlays/istio    happens by itself when virtual-service.yaml is saved");
    println!("  scale … --replicas=0           is: kill -TERM {}", pids.join(" "));
    println!("Enter, or the end of standard input, ends it.");
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let file = manifests().join("overlays/istio/virtual-service.yaml");
    let follow = async {
        let mut known = fs::read(&file).unwrap();
        loop {
            pause(Duration::from_millis(300)).await;
            let now = fs::read(&file).unwrap();
            if now != known {
                stage.envoy.apply(&rehearsed(&manifests())).await;
                println!("virtual-service.yaml is in force");
                known = now;
            }
        }
    };
    tokio::select! {
        _ = end => {}
        () = follow => {}
    }
}
