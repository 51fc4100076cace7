// Runs the documented client on a runtime that has a `WebSocket` (Node 22 or newer, Deno, Bun):
// node client.mjs MODULE URL STREAM [TOKEN]. Reads lines and prints a JSON object a line, as drive.mjs says.
// The end of its input stops the client, and nothing else ends this process.
import process from 'node:process';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { drive } from './drive.mjs';

const [path, url, stream, token] = process.argv.slice(2);
const { watchStream } = await import(pathToFileURL(path));
const print = (value) => console.log(JSON.stringify(value));
const { VIEWER_NAME: name, POST_WHEN_LIVE: whenLive } = process.env;
const { take, stop } = drive({ watchStream, url, stream, name, token, whenLive, print });
createInterface({ input: process.stdin }).on('line', take).on('close', stop);
