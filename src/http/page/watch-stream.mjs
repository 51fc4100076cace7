/**
 * Watches one stream: its history, then new comments. Resumes after each loss of the connection; no comment comes twice.
 * Calls `onComments(comments, isHistory)`, `onFrame(frame)` for every other frame, and `onState({ state, … })` with
 * state connecting, live, moving, waiting or closed. `token`, where the server asks for one, is a token, or a function
 * that gets a fresh one: it is called before each connection, and once when the server warns that the token expires soon.
 * A viewer without `name`, of a server that asks for no token, is a guest, and the same guest on each connection.
 */
export function watchStream({ url, stream, name = '', token, onComments, onFrame = () => {}, onState = () => {} }) {
  const renews = typeof token === 'function';
  // 0 and 1000 as well: what some runtimes show for a lost connection. Sockets that this client closes are not asked.
  const AGAIN = [0, 1000, 1001, 1005, 1006, 1011, 1012, 1013, 3008, 3012, ...(renews ? [3000] : [])];
  const seen = new Set();  // ids of the newest comments: a resume or a move may bring some again
  const posts = [];        // not answered yet, in the order typed; the first one is under way, the others wait for it
  let wait = { min_ms: 100, max_ms: 3000 }, failures = 0, refs = 0, asked = 0, heard = 0, later_ms = 0;
  let current, next, timer, deadline, position, isSent = false, repeat, shown, renewing, secret;

  async function open() {
    timer = undefined;
    asked = heard = performance.now();
    if (!current) onState({ state: 'connecting' });
    const place = next = { close() {} };                         // until the token is there
    give(10_000, 'no handshake in time');
    const bearer = renews ? await fresh() : token;
    if (next !== place) return;                                  // stopped, or given up, meanwhile
    if (renews && !bearer) return closed(place, 1006, 'no token');
    const guest = secret && { session: secret };                 // only guests have one, with or without a token
    const query = new URLSearchParams({ ...(name && { name }), ...guest, ...(position && { after: position }) });
    const protocols = ['fanfare.v1', ...(bearer ? [`bearer.${bearer}`] : [])];  // browsers set no other header
    try {
      next = new WebSocket(`${url}/v1/streams/${stream}/watch?${query}`, protocols);
    } catch (error) {
      return closed(place, 1006, error.message);                 // the token has a character that no header may have
    }
    const socket = next;
    shown = bearer;
    socket.onopen = () => clearTimeout(deadline);
    socket.onmessage = ({ data }) => receive(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => closed(socket, code, reason);
    socket.onerror = () => socket === next && give(1000, 'no handshake');  // Node 20 and 22: no `close` follows
  }
  function give(within_ms, reason) {
    clearTimeout(deadline);
    deadline = setTimeout(() => {
      const socket = next;
      leave(socket);
      closed(socket, 1006, reason);
    }, within_ms);
  }
  async function fresh() {
    try { return await token(); } catch { return undefined; }
  }
  async function refresh() {
    if (!renews || renewing) return;                             // one token for each warning
    renewing = true;
    const bearer = await fresh();
    renewing = false;
    if (!bearer || bearer === shown) return;                     // no other one yet: 3000 asks for it
    shown = bearer;
    send(current, { type: 'refresh', token: bearer });
  }
  function receive(socket, frame) {
    heard = performance.now();
    if (frame.ref && frame.ref === posts[0]?.ref) answered(frame);
    if (frame.type === 'hello') {
      const old = current;
      clearTimeout(deadline);
      [current, next, wait, failures, later_ms, isSent] = [socket, undefined, frame.reconnect, 0, 0, false];
      if (old) leave(old);                                       // a move: only now is the old socket not needed
      secret = frame.session_secret ?? secret;                   // posts of a guest belong to it: repeating them is safe
      position ??= frame.position;                               // who came with one keeps it until the next frame
      onState({ state: 'live', hello: frame, moved: Boolean(old) });
      return sendPost();
    }
    if (frame.type === 'comments') {
      const fresh = frame.comments.filter(({ id }) => !seen.has(id) && seen.add(id));
      while (seen.size > 5000) seen.delete(seen.values().next().value);
      if (fresh.length) onComments(fresh, Boolean(frame.history));
    } else if (frame.type === 'reconnect') {
      socket.isLeaving = true;                                   // its close means no more than this frame
      if (socket !== current) return later_ms = frame.within_ms;  // the pod is full: not before
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
  function answered(frame) {
    isSent = false;
    // Not posted, or perhaps: its `id` makes repeating safe.
    if (['rate_limited', 'shard_unavailable'].includes(frame.code)) frame.retry_ms ||= 1000 + Math.random() * 1000;
    if (!frame.retry_ms) posts.shift();
    else repeat = setTimeout(() => { repeat = undefined; sendPost(); }, frame.retry_ms);
    sendPost();
  }
  function sendPost() {
    if (isSent || repeat || !posts.length) return;
    isSent = send(current, posts[0]);                            // without a socket the next `hello` sends it
  }
  function closed(socket, code, reason) {
    if (socket === current) current = undefined;
    else {
      next = undefined;
      clearTimeout(deadline);
    }
    if (next) return onState({ state: 'connecting', code, reason });  // a move was under way: it takes over
    if (AGAIN.includes(socket.isLeaving && code < 3000 ? 1001 : code)) {
      const most_ms = Math.min(30_000, wait.max_ms * 2 ** failures++);
      const delay_ms = later_ms + wait.min_ms + Math.random() * (most_ms - wait.min_ms);
      later_ms = 0;
      onState({ state: current ? 'moving' : 'waiting', code, reason, delay_ms });
      clearTimeout(timer);
      timer = setTimeout(open, delay_ms);
    } else if (!current) {
      stop();
      onState({ state: 'closed', code, reason });
    }
  }
  function leave(socket) {
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close(1000);
  }
  function send(socket, frame) {
    const isOpen = socket?.readyState === 1;
    if (isOpen) socket.send(JSON.stringify(frame));
    return isOpen;
  }
  function ping() {
    asked = performance.now();
    send(current ?? next, { type: 'ping' });
  }
  const beat = setInterval(() => {
    const dead = heard < asked && (current ?? next);             // 20 s without any frame: a browser would not notice
    if (!dead) return ping();
    leave(dead);
    closed(dead, 1006, 'no answer to ping');
  }, 20_000);
  function stop() {
    [timer, deadline, repeat].forEach(clearTimeout);
    clearInterval(beat);
    [current, next].forEach((socket) => socket && leave(socket));
    current = next = undefined;
  }
  open();
  return {
    /**
     * Posts once all earlier posts are answered; a `posted` or `error` frame with the returned `ref` is the answer. An
     * `error` with `retry_ms` is none: the post is sent again after it.
     */
    post(body, id = crypto.getRandomValues(new Uint32Array(4)).join('-')) {
      const frame = { type: 'post', ref: `p${++refs}`, id, body };
      posts.push(frame);
      sendPost();
      return frame.ref;
    },
    ping,
    stop,
    get position() { return position; },
  };
}
