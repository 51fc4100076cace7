//! A viewer behind a real nginx.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use testkit::{PATIENCE, Pod, eventually, stream_for};
use tokio::net::TcpStream;

use super::proxied::watch_slowly;

/// An nginx in front of a pod, as its manual says for WebSocket. Dropping it ends the process and removes its files.
struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Nginx {
    async fn before(pod: &Pod) -> Self {
        let folder = std::env::temp_dir().join(stream_for(&format!("fanfare-nginx-{}", std::process::id())));
        fs::create_dir_all(&folder).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(folder.join("nginx.conf"), configuration(address, pod.public)).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(&folder)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: `make tools`");
        let nginx = Self { child, address, folder };
        eventually("nginx takes connections", PATIENCE, async || TcpStream::connect(address).await.ok())
            .await;
        nginx
    }
}

fn configuration(address: SocketAddr, pod: SocketAddr) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String = folders.map(|of| format!("{of}_temp_path {of};\n")).concat();
    format!(
        "daemon off;
        master_process off;
        pid nginx.pid;
        events {{}}
        http {{
            access_log off;
            {folders}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://{pod};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                    proxy_set_header Host $host;
                    proxy_read_timeout 1h;
                }}
            }}
        }}"
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Symptom: a viewer behind nginx that read half of its stream saw comments 15 s late or more. Cause: the buffers of nginx
/// and of the kernel, on both sides of it, took bytes that the viewer had not read.
#[tokio::test]
async fn nginx_does_not_hide_a_slow_viewer() {
    let (pod, stream) = (Pod::start(&[]), stream_for("nginx"));
    let nginx = Nginx::before(&pod).await;
    let viewer = watch_slowly(&pod, &stream, nginx.address, || {}).await;
    assert!(viewer.closed.is_none());
}
