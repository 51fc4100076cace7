// -- Posting: a faint entry below the list until the same comment comes back

function post(kind, body, data) {
  const p = { kind, body, data, key: randomId(), node: undefined };
  visit.pending.push(p);
  p.node = entryNode({ kind, body, data, author: { id: visit.name, name: visit.name } });
  p.node.classList.add('own');
  p.status = element('span', 'note');
  p.node.meta.append(p.status);
  $('pending').append(p.node);
  dispatch(p);
  tidyEmpty();
  toEnd();
}

function dispatch(p) {
  p.sent_at = performance.now();
  p.node.classList.remove('failed');
  p.node.querySelector('.fault')?.remove();
  p.status.textContent = p.kind !== 'comment' || ['live', 'moving'].includes($('state').dataset.state) ? 'sending…' : 'waiting for the connection…';
  if (p.kind === 'comment') p.ref = visit.watch.post(p.body, p.key);
  else sendByRest(p);
}

async function sendByRest(p) {
  const asking = visit, { kind, body, data } = p, author = { id: visit.name, name: visit.name };
  try {
    const answer = await fetch(`/v1/streams/${visit.stream}/comments`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': p.key, ...(visit.token && { Authorization: `Bearer ${visit.token}` }) },
      body: JSON.stringify({ kind, author, body, data }), signal: AbortSignal.timeout(10_000),
    });
    const told = await answer.json().catch(() => ({}));
    if (asking !== visit) return;
    if (answer.ok) answered(p, told.id);
    else failed(p, { code: told.code ?? answer.status, message: told.detail || told.title, retry_ms: 1000 * Number(answer.headers.get('Retry-After')) });
  } catch {
    if (asking === visit) failed(p, { code: 'no answer', message: 'The server did not answer. Trying again is safe: the same key is not taken twice.' });
  }
}

function answered(p, id) {
  if (!p) return;
  p.id = id;
  p.status.textContent = 'accepted';
  const shown = visit.shown.get(id);
  if (shown) settle(p, shown);
  else if (p.match) { p.match = undefined; p.node.hidden = false; }
  if (!shown) setTimeout(() => giveUp(p), 10_000);
}

/** An accepted comment can be among those that a slow viewer, or one of a busy stream, is not sent. */
function giveUp(p) {
  if (!visit?.pending.includes(p) || $('state').dataset.state !== 'live' || queue.some(({ comment }) => comment?.id === p.id)) return;
  drop(p);
  mark('Your post was accepted, but it is not among what this viewer was sent', 'loss');
}

/** The comment is on the screen: from here on its own entry stands for the post. */
function painted(id, mine) {
  const shown = visit?.shown.get(id);
  if (!shown) return;
  shown.painted_at = performance.now();
  if (mine?.id === id) settle(mine, shown);
}

function settle(p, shown) {
  if (!visit.pending.includes(p)) return;
  drop(p);
  shown.node.classList.add('own');
  const trip = (shown.painted_at ?? performance.now()) - p.sent_at;
  if (trip < 0 || hidden_at > p.sent_at) return;  // painted before a second try, or measured while nobody looked
  const chip = element('span', 'trip', `✓ ${duration(trip)}`);
  chip.title = 'from sending to your screen';
  shown.node.meta.append(chip);
  visit.trips.push(trip);
  visit.trips.splice(0, visit.trips.length - 40);
  drawTrips();
}

/** The client repeats it by itself. */
function repeated(frame) {
  const p = visit.pending.find(({ ref }) => ref && ref === frame.ref);
  if (p) p.status.textContent = 'not stored yet, trying again…';
  else notice(frame);
}

function failed(p, { code, message, retry_ms }) {
  if (!p) return;
  [p.match, p.node.hidden] = [undefined, false];
  p.node.classList.add('failed');
  p.status.textContent = '';
  const fault = element('div', 'fault'), again = element('button', 'small', 'Try again'), away = element('button', 'small', 'Dismiss');
  fault.setAttribute('role', 'alert');
  fault.append(element('span', '', `${message || FAULT[code] || 'Not accepted.'} (${code})${retry_ms ? ` Wait ${duration(retry_ms)}.` : ''}`), again, away);
  again.disabled = Boolean(retry_ms);
  if (retry_ms) setTimeout(() => { again.disabled = false; }, retry_ms);
  again.addEventListener('click', () => { dispatch(p); $('text').focus(); });
  away.addEventListener('click', () => { drop(p); $('text').focus(); });
  p.node.lastElementChild.append(fault);
  toEnd();
}

function drop(p) {
  visit.pending = visit.pending.filter((other) => other !== p);
  p.node.remove();
  if (stuck) scrollToEnd();
  tidyEmpty();
}

let hidden_at = -1;
document.addEventListener('visibilitychange', () => { if (document.hidden) hidden_at = performance.now(); });

function drawTrips() {
  const { trips } = visit, svg = $('chart'), sorted = [...trips].sort((a, b) => a - b);
  const median = (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
  const draw = (tag, attributes) => {
    const shape = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  };
  svg.replaceChildren();
  draw('line', { class: 'floor', x1: 0, x2: 266, y1: 63.5, y2: 63.5 });
  $('trip-hint').hidden = trips.length > 0;
  $('figures').hidden = !trips.length;
  if (!trips.length) return;
  const top = Math.min(sorted.at(-1), 4 * median), height = (trip) => Math.max(2, 58 * Math.min(1, trip / top)), x0 = 266 - 6.65 * trips.length;
  trips.forEach((trip, i) => draw('rect', { x: (x0 + 6.65 * i).toFixed(2), y: (63 - height(trip)).toFixed(1), width: 4.6, height: height(trip).toFixed(1), rx: 1.5 }));
  draw('line', { x1: 0, x2: 266, y1: (63 - height(median)).toFixed(1), y2: (63 - height(median)).toFixed(1) });
  $('last').textContent = duration(trips.at(-1));
  $('median').textContent = duration(median);
  $('of').textContent = trips.length > 1 ? `median of the last ${trips.length}` : 'median';
  svg.setAttribute('aria-label', `Post to screen: last ${duration(trips.at(-1))}, median ${duration(median)}, slowest ${duration(sorted.at(-1))}, of ${plural(trips.length, 'post')}`);
}

