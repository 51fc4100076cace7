// Runs the documented client under Node with the package `ws`: node client.cjs MODULE URL STREAM [TOKEN].
const { WebSocket } = require('ws');

globalThis.crypto ??= require('node:crypto').webcrypto;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    this.on('error', () => {});  // a close follows, as in a browser
  }
};

import('./client.mjs');
