// Runs the documented client in a browser: node browser.mjs BROWSER MODULE URL STREAM [TOKEN]. BROWSER is `chromium` or
// `firefox-esr`, without a window. Reads lines and prints a JSON object a line, as drive.mjs says: the page, which this
// program serves, takes the lines as server-sent events and posts what it prints.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const [browser, module, url, stream, token] = process.argv.slice(2);
const folder = dirname(fileURLToPath(import.meta.url));
const { VIEWER_NAME: name, POST_WHEN_LIVE: whenLive } = process.env;
const options = JSON.stringify({ url, stream, name, token, whenLive });
const PAGE = `<!doctype html><title>client</title><script type="module">
import { watchStream } from '/watch-stream.mjs';
import { drive } from '/drive.mjs';
let last = Promise.resolve();
const print = (value) => { last = last.then(() => fetch('/said', { method: 'POST', body: JSON.stringify(value) })); };
const { take } = drive({ watchStream, ...${options}, print });
new EventSource('/lines').onmessage = ({ data }) => take(data);
</script>`;
const files = { '/': PAGE, '/watch-stream.mjs': readFileSync(module), '/drive.mjs': readFileSync(join(folder, 'drive.mjs')) };

const early = [];
let page;
const give = (line) => page ? page.write(`data: ${line}\n\n`) : early.push(line);
createInterface({ input: process.stdin }).on('line', give);

const server = createServer((request, response) => {
  if (request.url === '/lines') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    page = response;
    early.splice(0).forEach(give);
  } else if (request.url === '/said') {
    let said = '';
    request.on('data', (part) => { said += part; }).on('end', () => { console.log(said); response.writeHead(204).end(); });
  } else {
    response.writeHead(request.url in files ? 200 : 404, { 'Content-Type': request.url === '/' ? 'text/html' : 'text/javascript' });
    response.end(files[request.url]);
  }
});

// When this process ends, however it does, the pipe to the shell closes, and the shell ends the browser by its id.
const LEASH = '"$@" >/dev/null 2>&1 & browser=$!; read -r _; kill -KILL $browser; wait; rm -rf "$HOME" || rm -rf "$HOME"';
server.listen(0, '127.0.0.1', () => {
  const home = mkdtempSync(join(tmpdir(), 'fanfare-browser-'));
  const address = `http://127.0.0.1:${server.address().port}/`;
  const args = {
    chromium: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage', `--user-data-dir=${home}/profile`, address],
    'firefox-esr': ['--headless', '--no-remote', '--profile', home, address],
  }[browser];
  spawn('sh', ['-c', LEASH, 'leash', browser, ...args], { stdio: ['pipe', 'ignore', 'ignore'], env: { ...process.env, HOME: home } });
});
