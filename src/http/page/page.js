
// -- One visit to one stream

function join(stream, wished, token = '') {
  const claims = claimsOf(token), name = claims.name ?? claims.sub ?? wished;
  leave();
  const cameThroughDoor = $('door').contains(document.activeElement);
  visit = { stream, name, wished, token, pending: [], shown: new Map(), received: 0, missed: 0, reconnects: 0, trips: [], lost_at: 0, hadHistory: false, isLive: false };
  for (const id of ['viewers', 'pod', 'track', 'rtt', 'resumed', 'position', 'last', 'median']) $(id).textContent = '–';
  for (const id of ['received', 'missed', 'reconnects']) $(id).textContent = '0';
  $('title').textContent = stream;
  document.title = `#${stream} · Fanfare`;
  $('door').hidden = true;
  $('room').hidden = false;
  drawTrips();
  invite('Joining…', '');
  remember('fanfare.name', wished);
  query.set('stream', stream);
  if (query.has('name')) query.set('name', wished);
  history.replaceState(null, '', `?${query}`);
  for (const link of document.querySelectorAll('a.second')) link.href = `?stream=${stream}${token && `#token=${token}`}`;
  if (matchMedia('(pointer: fine)').matches) $('text').focus();
  else if (cameThroughDoor) $('scroll').focus();  // on a phone the keyboard would cover the stream
  visit.watch = watchStream({
    url: location.origin.replace(/^http/, 'ws'), stream, name: wished, token,
    onComments: takeComments, onFrame: takeFrame, onState: showState,
  });
}

function leave() {
  visit?.watch.stop();
  visit = undefined;
  queue.length = 0;
  [unread, skippedRows, stuck] = [0, 0, true];
  $('list').replaceChildren();
  $('pending').replaceChildren();
  for (const id of ['more', 'banner', 'notice', 'lost']) $(id).hidden = true;
}

function remember(key, value) {
  try { sessionStorage.setItem(key, value); } catch { /* storage may be switched off */ }
}
function recall(key) {
  try { return sessionStorage.getItem(key); } catch { return null; }
}

// -- What the client tells

function showState({ state, code, reason, hello, moved, delay_ms }) {
  const why = code ? `${CLOSE[code] ?? 'closed'} (${code}${reason ? `, “${reason}”` : ''})` : reason;
  $('state').dataset.state = state;
  $('state').textContent = { connecting: 'Connecting', live: 'Live', moving: 'Moving', waiting: 'Reconnecting', closed: 'Closed' }[state];
  if (state === 'live') greet(hello, moved);
  if (state === 'connecting' && visit.lost_at) banner('Connecting again…');
  if (code && state !== 'moving') visit.lost_at ||= performance.now();
  if (state === 'waiting') {
    banner(`${sentence(why)}. Trying again in ${duration(delay_ms)}.`);
  }
  if (state === 'moving') banner(`The server asks this viewer to move${why ? `: ${why}` : ''}. Comments go on meanwhile.`);
  if (state === 'closed') banner(`${sentence(why)}. This ends the connection for good; the page does not reconnect by itself.`, true);
  if (state === 'closed') for (const p of visit.pending) if (!p.id && p.ref) p.status.textContent = 'not answered before the connection closed';
  for (const control of [...$('composer').elements, ...$('deeds').querySelectorAll('button')]) control.disabled = state === 'closed' && control.id !== 'plus';
}

function greet(hello, moved) {
  banner('');
  $('notice').hidden = true;
  if (moved) mark(`Moved to ${hello.pod || 'another pod'}${hello.resumed === 'all' ? ', nothing missed' : ''}`);
  else if (visit.lost_at) mark(`Back after ${duration(performance.now() - visit.lost_at)}${hello.resumed === 'all' ? ', nothing missed' : ''}`);
  if (moved || visit.lost_at) $('reconnects').textContent = number.format(++visit.reconnects);
  visit.lost_at = 0;
  setTimeout(visit.watch.ping, 1000);
  $('viewers').textContent = number.format(hello.viewers ?? 0);
  $('pod').textContent = $('pod').title = hello.pod || '–';
  $('track').textContent = $('track').dataset.track = hello.track || '–';
  $('resumed').textContent = { fresh: 'a new viewer', all: 'resumed in full', gap: 'resumed with a gap', reset: 'resumed after a reset' }[hello.resumed] ?? hello.resumed;
  invite(`It is quiet in #${visit.stream}.`, 'Post the first comment below. Then open a second tab and watch it arrive there as well.');
}

function takeComments(comments, isHistory) {
  if (isHistory) visit.hadHistory = true;
  else goLive();
  visit.received += comments.length;
  for (const comment of comments) enqueue({ comment, isHistory });
}

function goLive() {
  if (visit.hadHistory && !visit.isLive) mark('Live from here');
  visit.isLive = true;
}

function takeFrame(frame) {
  if (frame.type === 'skipped') goLive();
  switch (frame.type) {
    case 'viewers': $('viewers').textContent = number.format(frame.viewers); break;
    case 'pong': $('rtt').textContent = duration(frame.rtt_ms); break;
    case 'posted': return answered(visit.pending.find(({ ref }) => ref === frame.ref), frame.id);
    case 'error': return frame.retry_ms && frame.ref ? repeated(frame) : frame.ref ? failed(visit.pending.find(({ ref }) => ref === frame.ref), frame) : notice(frame);
    case 'skipped': miss(frame.count); return mark('', 'loss', { skipped: frame.count });
    case 'gap': miss(frame.to - frame.from + 1); return mark(`Comments are missing here: the history no longer holds numbers ${frame.from} to ${frame.to}`, 'loss');
    case 'reset': return mark('The history began anew. What is above is no longer in it.', 'reset');
  }
}

function miss(count) {
  visit.missed += count;
  $('missed').dataset.count = visit.missed;
  $('missed').textContent = plural(visit.missed, 'comment');
  $('lost').textContent = `${number.format(visit.missed)} missed`;
  $('lost').hidden = false;  // the marker in the list may be gone from it within a second
}

const sentence = (text = 'connection lost') => text.charAt(0).toUpperCase() + text.slice(1);

function banner(text, isFinal = false) {
  $('banner').hidden = !text;
  $('banner').classList.toggle('bad', isFinal);
  $('banner').firstElementChild.textContent = text;
  $('banner').lastElementChild.hidden = !isFinal;
}
function notice({ code, message }) {
  $('notice').hidden = false;
  $('notice').firstElementChild.textContent = `${message || FAULT[code] || 'The server reports an error.'} (${code})`;
}
function invite(title, text) {
  $('empty').querySelector('strong').textContent = title;
  $('empty').querySelector('p').textContent = text;
  $('empty').querySelector('a').hidden = !text;
  tidyEmpty();
}
function tidyEmpty() {
  $('empty').hidden = $('list').hasChildNodes() || $('pending').hasChildNodes();
}

// -- Controls

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const body = $('text').value.trim();
  if (body) post('comment', body);
  $('text').value = '';
});
$('gift').addEventListener('submit', (event) => {
  event.preventDefault();
  post('gift', undefined, { item: $('item').value, amount: $('amount').valueAsNumber });
});
$('follow').addEventListener('click', () => post('follow'));
$('mission').addEventListener('click', () => post('mission', undefined, { title: 'Say hello to the stream', reward: 50 }));
$('plus').addEventListener('click', () => $('plus').setAttribute('aria-expanded', !$('deeds').classList.toggle('closed')));
$('details').addEventListener('click', () => $('details').setAttribute('aria-expanded', $('room').classList.toggle('open')));
$('notice').lastElementChild.addEventListener('click', () => { $('notice').hidden = true; });
$('banner').lastElementChild.addEventListener('click', () => join(visit.stream, visit.wished, visit.token));
$('leave').addEventListener('click', () => {
  leave();
  $('room').hidden = true;
  $('door').hidden = false;
  document.title = 'Fanfare';
  $('stream').focus();
});
$('join').addEventListener('submit', (event) => {
  event.preventDefault();
  $('door-error').hidden = true;
  join($('stream').value, $('name').value.trim() || guest(), $('token').value.trim());
});

// A page kept for the back button would go on counting as a viewer.
addEventListener('pagehide', () => visit?.watch.stop());
addEventListener('pageshow', ({ persisted }) => { if (persisted && visit) join(visit.stream, visit.wished, visit.token); });

const guest = () => `Guest ${100 + crypto.getRandomValues(new Uint16Array(1))[0] % 900}`;

// A fragment goes to no server and to no log; the address line forgets it at once, and the page keeps it nowhere else.
$('token').value = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
if (location.hash) history.replaceState(null, '', location.pathname + location.search);
$('stream').value = query.get('stream') ?? 'lobby';
$('name').value = query.get('name')?.slice(0, 40) || recall('fanfare.name') || guest();
if (query.has('stream') || query.has('name')) {
  if ($('stream').checkValidity()) join($('stream').value, $('name').value, $('token').value);
  else {
    $('door-error').textContent = 'This stream name does not work: 1 to 64 letters, digits, - or _.';
    $('door-error').hidden = false;
  }
}

