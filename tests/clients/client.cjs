// Runs the documented client under Node with the package `ws`: node client.cjs MODULE URL STREAM [TOKEN]. With TELL_TIMES it
// prints when each handshake begins, and when each `reconnect` came.
const { WebSocket } = require('ws');

globalThis.crypto ??= require('node:crypto').webcrypto;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    this.on('error', () => {});  // a close follows, as in a browser
    if (!process.env.TELL_TIMES) return;
    console.log(JSON.stringify({ opens_at_ms: performance.now() }));
    this.on('message', (data) => {
      const { type, within_ms } = JSON.parse(data);
      if (type === 'reconnect') console.log(JSON.stringify({ at_ms: performance.now(), within_ms }));
    });
  }
};

import('./client.mjs');
