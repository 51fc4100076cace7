#!/bin/sh
# Guess: a client library reports the close code that the server sent, 1012 ("service restart", registered at IANA) too.
# What happens: faye-websocket treats every code between 1012 and 2999 as a protocol error of the server: the
#   application is given 1002 with a text of the library, and the server is answered with 1002. 1001 is passed on.
# Version: faye-websocket 0.11.4 (websocket-driver 0.7.x), ws 8.18.3 as the server.
# Source: RFC 6455 section 7.4.1 ends at 1011; websocket-driver/lib/websocket/driver/hybi.js, ERROR_CODES.
# Why it matters: a client that stops on 1002, as it should, never comes back after a fan-out server's deploy. A server
#   that wants every library to understand a drain closes with 1001.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund faye-websocket@0.11.4 ws@8.18.3
cat >seen.js <<'JS'
const { WebSocketServer } = require('ws');
const Faye = require('faye-websocket');
const server = new WebSocketServer({ port: 0 }, async () => {
  const seen = [];
  for (const code of [1001, 1011, 1012, 1013, 3000]) {
    server.once('connection', (socket) => { socket.on('error', () => {}); socket.close(code, 'sent'); });
    const client = new Faye.Client(`ws://127.0.0.1:${server.address().port}/`);
    seen.push(`${code} arrives as ${await new Promise((done) => client.on('close', (event) => done(event.code)))}`);
  }
  console.log(seen.join('\n'));
  process.exit();
});
JS
node seen.js | tee seen.txt
diff - seen.txt <<'SEEN'
1001 arrives as 1001
1011 arrives as 1011
1012 arrives as 1002
1013 arrives as 1002
3000 arrives as 3000
SEEN
