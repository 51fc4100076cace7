// -- The list: written once a frame, at most KEEP nodes, and held back while the reader is further up

const queue = [];
let unread = 0, skippedRows = 0, stuck = true, lastTop = 0, scheduled = false;

function enqueue(row) {
  queue.push(row);
  if (row.comment && !row.isHistory) speak(row.comment);
  if (row.comment && !stuck) unread++;
  if (queue.length > 2 * KEEP) skippedRows += queue.splice(0, queue.length - KEEP).length;
  schedule();
}
function mark(text, className = '', more = {}) {
  const last = queue.at(-1);
  if (more.skipped && last?.skipped) last.skipped += more.skipped;
  else enqueue({ text, className, ...more });
}
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; flush(); });
}

function flush() {
  if (!visit) return;
  const scroll = $('scroll'), list = $('list');
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 48;
  const rows = queue.splice(0, stuck ? queue.length : atEnd ? 50 : 0);
  if (stuck && (rows.length > KEEP || skippedRows)) { rows.splice(0, rows.length - KEEP); list.replaceChildren(); visit.shown.clear(); }
  if (rows.length && skippedRows && !stuck) {
    rows.unshift({ text: `${plural(skippedRows, 'comment')} passed by here while you read further up` });
    skippedRows = 0;
  }
  if (rows.length) {
    const isFew = rows.length <= 4, part = document.createDocumentFragment(), own = [];
    for (const row of rows) part.append(row.comment ? commentNode(row.comment, isFew && !row.isHistory, own) : markerNode(row));
    list.append(part);
    if (rows.some(({ className }) => className === 'reset')) fade(list);
    trim(scroll, list);
    tidyEmpty();
    if (own.length) afterPaint(() => own.forEach(([id, mine]) => painted(id, mine)));
  }
  if (stuck) { [unread, skippedRows] = [0, 0]; scrollToEnd(); }
  else unread = Math.min(unread, queue.filter(({ comment }) => comment).length + skippedRows);
  $('more').hidden = stuck || !unread;
  $('more').textContent = `${number.format(unread)} new ↓`;
}

/** What stands above a reset is not part of the stream any more. */
function fade(list) {
  const resets = list.querySelectorAll('.reset');
  for (let node = resets[resets.length - 1].previousSibling; node; node = node.previousSibling) node.classList.add('past');
}

/** Takes the oldest nodes away, and leaves what the reader looks at where it is. */
function trim(scroll, list) {
  const surplus = list.childElementCount - KEEP;
  if (surplus <= 0) return;
  const height = stuck ? 0 : scroll.scrollHeight;
  for (let i = 0; i < surplus; i++) { visit.shown.delete(list.firstChild.dataset.id); list.firstChild.remove(); }
  if (!stuck) scroll.scrollTop -= height - scroll.scrollHeight;
}

/** Runs when the frame that is being prepared has been painted; to be called inside requestAnimationFrame. */
function afterPaint(then) {
  const channel = new MessageChannel();
  channel.port1.onmessage = then;
  channel.port2.postMessage(0);
}

function commentNode(comment, isNew, own) {
  const { id, seq, at } = comment, author = comment.author ?? {};
  const mine = visit.pending.find((post) => post.id === id || (!post.id && !post.match && post.body === comment.body && author.name === visit.name && comment.kind === post.kind));
  if (mine && !mine.id) { mine.match = id; mine.node.hidden = true; }  // surely this one; the answer will say
  const node = entryNode(comment);
  node.dataset.id = id;
  node.dataset.seq = node.title = seq;
  node.classList.toggle('new', isNew && !mine);
  const time = element('time', '', clock.format(at));
  time.dateTime = new Date(at).toISOString();
  node.meta.append(time);
  visit.shown.set(id, { node });
  if (mine || author.name === visit.name) own.push([id, mine]);
  return node;
}

function entryNode({ kind = 'comment', author, body, data }) {
  const name = author?.name || author?.id || 'someone', node = element('li', 'entry'), face = element('span', 'face'), column = element('div');
  const known = ['gift', 'follow', 'mission'].includes(kind);
  face.setAttribute('aria-hidden', 'true');
  face.append(kind === 'comment' ? [...name][0].toUpperCase() : icon(known ? kind : 'other'));
  face.style.setProperty('--hue', hue(author?.id ?? name));
  node.meta = element('div', 'meta');
  node.meta.append(element('bdi', '', name));
  if (known) node.classList.add(kind);
  if (kind !== 'comment') node.meta.append(element('span', 'tag', { gift: 'sends', follow: 'follows the stream', mission: 'finishes a mission' }[kind] ?? kind));
  column.append(node.meta);
  const deed = kind === 'gift' && data?.item ? `${number.format(Number(data.amount) || 1)} × ${data.item}` : kind === 'mission' && data?.title ? `${data.title}${Number(data.reward) ? `, +${number.format(Number(data.reward))}` : ''}` : '';
  for (const [className, text] of [['deed', deed], ['body', body]]) {
    if (!text) continue;
    const line = element('p', className, text);
    line.dir = 'auto';
    column.append(line);
  }
  node.append(face, column);
  return node;
}

function markerNode({ text, className, skipped }) {
  const node = element('li', `marker ${className}`);
  node.append(element('span', '', skipped ? `${plural(skipped, 'comment')} left out here: this viewer was too slow, or the stream too busy` : text));
  return node;
}

function hue(text) {
  let hash = 7;
  for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) >>> 0;
  return hash * 137 % 360;
}

$('scroll').addEventListener('scroll', () => {
  const scroll = $('scroll'), atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 48;
  if (atEnd) stuck ||= !queue.length;
  else if (scroll.scrollTop < lastTop - 1) stuck = false;  // only the reader scrolls up; rows that grow do not
  lastTop = scroll.scrollTop;
  if (atEnd && queue.length) schedule();
  if (stuck) $('more').hidden = true;
}, { passive: true });
new ResizeObserver(() => { if (stuck) scrollToEnd(); }).observe($('scroll'));

function scrollToEnd() {
  $('scroll').scrollTop = $('scroll').scrollHeight;
  lastTop = $('scroll').scrollTop;
}
function toEnd() {
  stuck = true;
  scrollToEnd();
  schedule();
}
$('more').addEventListener('click', () => { toEnd(); $('text').focus({ preventScroll: true }); });

// A screen reader hears at most one sentence each 5 s, however fast the stream is.
let heardLast, heardCount = 0;
function speak(comment) {
  [heardLast, heardCount] = [comment, heardCount + 1];
}
setInterval(() => {
  if (heardCount && !document.hidden) $('spoken').textContent = `${heardCount > 1 ? `${plural(heardCount, 'new comment')}, the last by` : ''} ${heardLast.author?.name ?? ''}: ${heardLast.body ?? heardLast.kind}`;
  heardCount = 0;
}, 5000);

let receivedBefore = 0;
setInterval(() => {
  if (!visit || document.hidden) return;
  const rate = Math.max(0, visit.received - receivedBefore);
  receivedBefore = visit.received;
  $('received').dataset.count = visit.received;
  $('received').textContent = `${number.format(visit.received)}${rate ? ` · ${number.format(rate)}/s` : ''}`;
  $('position').textContent = $('position').title = visit.watch.position ?? '–';
}, 1000);

