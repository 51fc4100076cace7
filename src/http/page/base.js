// What all parts of the page use.

const $ = (id) => document.getElementById(id);
const KEEP = 300;  // nodes in the list, and comments held back while the reader is further up
const query = new URLSearchParams(location.search);
const number = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const plural = (n, one, many = `${one}s`) => `${number.format(n)} ${n === 1 ? one : many}`;
const duration = (ms) => ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
const randomId = () => crypto.getRandomValues(new Uint32Array(4)).join('-');  // crypto.randomUUID exists on https and localhost only

const CLOSE = {
  1000: 'closed', 1001: 'the server goes away', 1002: 'protocol error', 1003: 'data not supported', 1006: 'connection lost', 1007: 'text not valid', 1009: 'message too large',
  1011: 'server error', 1012: 'the server restarts', 1013: 'the server asks to try later', 3000: 'the token has expired or was revoked', 3008: 'this connection was too slow', 3012: 'no answer to pings',
};
const FAULT = {
  bad_request: 'The server did not understand this.', too_long: 'This is too long.', not_allowed: 'This is not allowed here.', bad_token: 'The token is not good here.', token_expired: 'The token has expired or was revoked.', id_reused: 'This id was used for another text.',
  shard_unavailable: 'The stream cannot be reached right now. Trying again is safe.', internal: 'The server failed.',
};

/** What a token says of its user; the server decides whether it is true. */
function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt());
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch { return {}; }
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS('http://www.w3.org/2000/svg', 'use'));
  svg.firstChild.setAttribute('href', `#i-${name}`);
  return svg;
}

// One visit: everything that ends when the viewer leaves.
let visit;
