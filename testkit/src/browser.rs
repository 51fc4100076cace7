//! A headless Chromium, led through chromedriver (W3C WebDriver, <https://www.w3.org/TR/webdriver2/>).

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, OnceCell},
    time::{sleep, timeout},
};

use crate::{Authority, PATIENCE, eventually, request_of_other};

/// Both programs, on a leash: when this process ends, however it does, the pipe to the shell closes, and the shell ends
/// both by their ids. Of the certificates that no authority of the system's made only those of one key, given by its pin,
/// are taken. Chromium is not chromedriver's child, since it would outlive a chromedriver that is killed.
const LEASH: &str = r#"
folder=$(mktemp -d) || exit 1
HOME="$folder" chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage \
  --ignore-certificate-errors-spki-list="$1" \
  --disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0 \
  --user-data-dir="$folder/profile" about:blank >/dev/null 2>&1 &
chromium=$!
chromedriver --port=0 2>/dev/null &
chromedriver=$!
echo "profile $folder/profile"
read -r _
kill -KILL $chromium $chromedriver
wait
rm -rf "$folder" || rm -rf "$folder"
"#;
/// How long both may take to start, on a machine that has other things to do.
const START: Duration = Duration::from_secs(60);
/// How many times both are started before a test fails: a start that hangs is given up.
const STARTS: u32 = 3;

/// The browser that all tests share.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    /// One command at a time: a session looks at one window.
    turn: Mutex<()>,
    /// Holds the leash's end.
    _shell: Child,
}

impl Browser {
    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Browser> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        for _ in 0..STARTS {
            if let Ok(browser) = timeout(START, Self::start_once()).await {
                return browser;
            }
        }
        panic!("chromium and chromedriver did not start within {START:?}, {STARTS} times");
    }

    /// Starts both and waits until they take commands, without a limit.
    async fn start_once() -> Self {
        let mut shell = Command::new("sh");
        let mut shell = shell
            .args(["-c", LEASH, "leash", &Authority::create().pin()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        // Reads on, so that nobody waits for a full pipe.
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(told.send(line))));
        let mut said = Vec::new();
        let word_after = |said: &[String], before: &str| {
            let line = said.iter().find_map(|line| line.split_once(before))?;
            line.1.split(['.', ' ']).next().map(str::to_owned)
        };
        let ports_in = |said: &[String]| {
            let profile = said.iter().find_map(|line| line.strip_prefix("profile "))?;
            let port = std::fs::read_to_string(format!("{profile}/DevToolsActivePort")).ok()?;
            Some((port.lines().next()?.to_owned(), word_after(said, "successfully on port ")?))
        };
        let (devtools, driver) = loop {
            said.extend(lines.try_iter());
            if let Some(ports) = ports_in(&said) {
                break ports;
            }
            sleep(Duration::from_millis(5)).await;
        };
        let driver = SocketAddr::from(([127, 0, 0, 1], driver.parse().unwrap()));
        let options = json!({"debuggerAddress": format!("127.0.0.1:{devtools}")});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let session = command(driver, "/session", &wanted).await;
        let session = session["sessionId"].as_str().unwrap().to_owned();
        Self { driver, session, turn: Mutex::new(()), _shell: shell }
    }

    /// Gives a command to the session; it must be taken.
    async fn tell(&self, path: &str, body: &Value) -> Value {
        command(self.driver, &format!("/session/{}{path}", self.session), body).await
    }
}

async fn command(driver: SocketAddr, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let json = [("content-type", "application/json")];
    let answer = request_of_other(driver, "POST", path, &json, body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
    answer.json()["value"].take()
}

/// A window of the shared browser, of its own and in sight: what is out of sight is not painted.
pub struct Tab {
    browser: &'static Browser,
    handle: String,
}

impl Tab {
    /// Opens an address in a new window.
    pub async fn open(url: &str) -> Self {
        let browser = Browser::shared().await;
        let _turn = browser.turn.lock().await;
        let window = browser.tell("/window/new", &json!({"type": "window"})).await;
        let tab = Self { browser, handle: window["handle"].as_str().unwrap().to_owned() };
        browser.tell("/window", &json!({"handle": tab.handle})).await;
        browser.tell("/url", &json!({"url": url})).await;
        tab
    }

    /// Closes the window.
    pub async fn close(self) {
        let browser = self.browser;
        let _turn = browser.turn.lock().await;
        browser.tell("/window", &json!({"handle": self.handle})).await;
        let path = format!("/session/{}/window", browser.session);
        let answer = request_of_other(browser.driver, "DELETE", &path, &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // The next window is opened from one that is there.
        browser.tell("/window", &json!({"handle": answer.json()["value"][0]})).await;
    }

    async fn tell(&self, path: &str, body: &Value) -> Value {
        let _turn = self.browser.turn.lock().await;
        self.browser.tell("/window", &json!({"handle": self.handle})).await;
        self.browser.tell(path, body).await
    }

    /// Runs a function's body in the page; returns what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.tell("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Waits until an expression in the page is truthy; returns its value.
    pub async fn until(&self, what: &str, expression: &str) -> Value {
        // The page looks for a moment by itself: a command costs more than a look.
        let script = format!(
            "return new Promise((done) => {{
                const end = performance.now() + 100;
                (function look() {{
                    const value = {expression};
                    if (value || performance.now() > end) done(value || null); else setTimeout(look, 10);
                }})();
            }})"
        );
        let value =
            eventually(what, PATIENCE, async || Some(self.run(&script).await).filter(|v| !v.is_null()));
        value.await
    }

    /// Presses keys, one after the other, whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        let presses: Vec<_> = keys.chars().flat_map(press).collect();
        self.tell("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": presses}]})).await;
    }
}
