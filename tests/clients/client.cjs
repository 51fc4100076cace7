// Runs the documented client under Node with the package `ws`: node client.cjs MODULE URL STREAM [TOKEN].
// Posts each line of standard input; prints comments, frames and states, a JSON object a line.
const { WebSocket } = require('ws');
const { createInterface } = require('node:readline');

globalThis.crypto ??= require('node:crypto').webcrypto;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    this.on('error', () => {});  // a close follows, as in a browser
  }
};

const [path, url, stream, token] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));
import(path).then(({ watchStream }) => {
  const watch = watchStream({
    url, stream, name: 'node', token,
    onComments: (comments) => comments.forEach(({ seq, body }) => print({ seq, body })),
    onFrame: ({ type, code }) => print({ type, code }),
    onState: ({ state, code }) => print({ state, code }),
  });
  createInterface({ input: process.stdin }).on('line', (line) => watch.post(line));
});
