/**
 * Watches one stream: its history, then what is new; resumes after every loss of the connection, no comment twice.
 * Calls `onComments(comments, isHistory)`, `onFrame(frame)` for every other frame, and `onState({ state, … })` with
 * state connecting, live, moving, waiting or closed. `token`, where the server asks for one, is a token, or a function
 * that gets a fresh one: it is called before each connection, and a minute before the token ends.
 */
export function watchStream({ url, stream, name = '', token, onComments, onFrame = () => {}, onState = () => {} }) {
  const renews = typeof token === 'function';
  const AGAIN = [0, 1000, 1001, 1005, 1006, 1011, 1012, 1013, 3008, 3012, ...(renews ? [3000] : [])];
  const seen = new Set();        // ids of the newest comments: a resume or a move may bring some again
  const unanswered = new Map();  // ref → post: sent again after a reconnect, which its `id` makes safe
  let wait = { min_ms: 100, max_ms: 3000 }, failures = 0, refs = 0, asked = 0, heard = 0;
  let current, next, timer, position;

  async function open() {
    timer = undefined;
    asked = heard = performance.now();
    if (!current) onState({ state: 'connecting' });
    const place = next = { close() {} };                           // until the token is there
    const bearer = renews ? await fresh() : token;
    if (next !== place) return;                                  // stopped, or given up, meanwhile
    if (renews && !bearer) return closed(place, 1006, 'no token');
    const query = new URLSearchParams({ ...(name && { name }), ...(position && { after: position }) });
    const protocols = ['fanfare.v1', ...(bearer ? [`bearer.${bearer}`] : [])];  // browsers set no other header
    const socket = next = new WebSocket(`${url}/v1/streams/${stream}/watch?${query}`, protocols);
    socket.onmessage = ({ data }) => receive(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => closed(socket, code, reason);
  }
  async function fresh() {
    try { return await token(); } catch { return undefined; }
  }
  async function refresh() {
    const bearer = renews && await fresh();
    if (bearer) send({ type: 'refresh', token: bearer });
  }
  function receive(socket, frame) {
    heard = performance.now();
    if (frame.ref) answered(frame);
    if (frame.type === 'hello') {
      const old = current;
      [current, next, wait, failures] = [socket, undefined, frame.reconnect, 0];
      if (old) leave(old);                                       // a move: only now is the old socket not needed
      position ??= frame.position;                               // who came with one keeps it until the next frame
      onState({ state: 'live', hello: frame, moved: Boolean(old) });
      return unanswered.forEach(send);
    }
    if (frame.type === 'comments') {
      const fresh = frame.comments.filter(({ id }) => !seen.has(id) && seen.add(id));
      while (seen.size > 5000) seen.delete(seen.values().next().value);
      if (fresh.length) onComments(fresh, Boolean(frame.history));
    } else if (frame.type === 'reconnect') {
      if (next || timer) return;                                 // already on the way
      onState({ state: 'moving', reason: frame.reason });
      timer = setTimeout(open, Math.random() * frame.within_ms / 2);  // the other half is for a second try
    } else {
      if (frame.type === 'expiring') refresh();
      if (frame.type === 'reset') seen.clear();                  // what the new history holds is shown below
      onFrame(frame.type === 'pong' ? { ...frame, rtt_ms: heard - asked } : frame);
    }
    if (frame.position) position = frame.position;               // last: it says "processed up to here"
  }
  function answered({ ref, code }) {
    if (code !== 'shard_unavailable') return unanswered.delete(ref);
    // It may be posted or not; its `id` makes repeating safe.
    setTimeout(() => unanswered.has(ref) && send(unanswered.get(ref)), 1000 + Math.random() * 1000);
  }
  function closed(socket, code, reason) {
    if (socket === current) current = undefined; else next = undefined;
    if (next) return onState({ state: 'connecting', code, reason });  // a move was under way: it takes over
    if (AGAIN.includes(code)) {
      const most_ms = Math.min(30_000, wait.max_ms * 2 ** failures++);
      const delay_ms = wait.min_ms + Math.random() * (most_ms - wait.min_ms);
      onState({ state: current ? 'moving' : 'waiting', code, reason, delay_ms });
      clearTimeout(timer);
      timer = setTimeout(open, delay_ms);
    } else if (!current) {
      stop();
      onState({ state: 'closed', code, reason });
    }
  }
  function leave(socket) {
    socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }
  function send(frame) {
    if (current?.readyState === 1) current.send(JSON.stringify(frame));
  }
  function ping() {
    asked = performance.now();
    send({ type: 'ping' });
  }
  const beat = setInterval(() => {
    const dead = heard < asked && (current ?? next);             // 20 s without any frame: a browser would not notice
    if (!dead) return ping();
    leave(dead);
    closed(dead, 1006, 'no answer to ping');
  }, 20_000);
  function stop() {
    clearTimeout(timer);
    clearInterval(beat);
    [current, next].forEach((socket) => socket && leave(socket));
    next = undefined;
  }
  open();
  return {
    /** Posts, now or once connected; a `posted` or `error` frame with the returned `ref` is the answer; while it is `shard_unavailable`, the post is repeated. */
    post(body, id = crypto.getRandomValues(new Uint32Array(4)).join('-')) {
      const frame = { type: 'post', ref: `p${++refs}`, id, body };
      unanswered.set(frame.ref, frame);
      send(frame);
      return frame.ref;
    },
    ping,
    stop,
    get position() { return position; },
  };
}
