/**
 * Drives the documented client for a test: posts each line that it is given, and prints comments, frames and states.
 * With the token `ask` it prints `{"wants":"token"}`, and a line `token …` answers the newest question. `whenLive` is posted once,
 * within the callback of the first state `live`. Without a `name` the viewer is `driven`; with an empty one, a guest.
 * Returns a function that takes the lines, and one that stops the client.
 */
export function drive({ watchStream, url, stream, name = 'driven', token, whenLive, print }) {
  const waiting = [];
  const ask = () => new Promise((answer) => { waiting.push(answer); print({ wants: 'token' }); });
  const watch = watchStream({
    url, stream, name, token: token === 'ask' ? ask : token,
    onComments: (comments) => comments.forEach(({ seq, body }) => print({ seq, body })),
    onFrame: ({ type, code }) => print({ type, code }),
    onState: ({ state, code, reason }) => {
      print({ state, code, reason });
      if (state !== 'live' || !whenLive) return;
      watch.post(whenLive);
      whenLive = undefined;
    },
  });
  const take = (line) => token === 'ask' && line.startsWith('token ') ? waiting.pop()?.(line.slice(6)) : watch.post(line);
  return { take, stop: watch.stop };
}
