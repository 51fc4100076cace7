"""python3 client.py URL STREAM [TOKEN]: posts each line of standard input; prints comments and states, a JSON object a line."""
import asyncio, contextlib, json, os, random, sys, urllib.parse, uuid, websockets

AGAIN = {1000, 1001, 1005, 1006, 1011, 1012, 1013, 3008, 3012}
LATER = {"rate_limited", "shard_unavailable"}
URL, STREAM, *TOKEN = sys.argv[1:]
NAME = os.environ.get("VIEWER_NAME", "python")  # an empty one, and no token: a guest
current, position, secret, seen, waits_for, wait = None, "", "", {}, (None, None), {"min_ms": 100, "max_ms": 3000}

def take(frame):
    if "ref" in frame and frame["ref"] == waits_for[0] and not waits_for[1].done():
        waits_for[1].set_result(frame)
    seen.clear() if frame["type"] == "reset" else None
    for comment in frame.get("comments", []):
        if comment["id"] not in seen:
            seen[comment["id"]] = print(json.dumps({"seq": comment["seq"], "body": comment.get("body")}), flush=True)
    while len(seen) > 5000:
        seen.pop(next(iter(seen)))

async def watch(delay=0.0):
    global current, position, secret, wait
    failures, moving, socket, later = 0, None, None, 0
    while not moving and (socket is None or later or socket.close_code in AGAIN):
        await asyncio.sleep(delay)
        query = {"name": NAME, "after": position, "session": secret}  # the same guest again
        address, socket, later = f"{URL}/v1/streams/{STREAM}/watch?{urllib.parse.urlencode(query)}", None, 0
        with contextlib.suppress(OSError, asyncio.TimeoutError, websockets.WebSocketException):
            async with websockets.connect(address, subprotocols=["fanfare.v1", *map("bearer.{}".format, TOKEN)]) as socket:
                async for frame in (json.loads(text) async for text in socket):
                    if frame["type"] == "hello":
                        failures, old, current, wait = 0, current, socket, frame["reconnect"]
                        position, secret = position or frame["position"], frame.get("session_secret", secret)
                        print(json.dumps({"state": "live", "resumed": frame["resumed"]}), flush=True)
                        waits_for[1].set_result({}) if waits_for[1] and not waits_for[1].done() else None  # ask here again
                        await old.close() if old else None
                    elif frame["type"] == "reconnect" and socket is not current:  # the pod is full
                        later = frame["within_ms"]
                    elif frame["type"] == "reconnect":
                        moving = asyncio.create_task(watch(random.random() * frame["within_ms"] / 2000))
                    elif socket is current:
                        take(frame)
                        position = frame.get("position", position)
        delay = (later + random.uniform(wait["min_ms"], min(30_000, wait["max_ms"] * 2**failures))) / 1000
        failures, current = failures + 1, None if current is socket else current

async def post(body):
    global waits_for
    message, answer = {"type": "post", "ref": str(uuid.uuid4()), "id": str(uuid.uuid4()), "body": body}, {}
    while not answer or answer.get("code") in LATER:  # its id makes repeating safe
        await asyncio.sleep(answer.get("retry_ms", 1000 + random.random() * 1000) / 1000 if answer else 0)
        waits_for = message["ref"], asyncio.get_running_loop().create_future()
        with contextlib.suppress(AttributeError, websockets.WebSocketException):  # without a socket the next hello asks again
            await current.send(json.dumps(message))
        answer = await waits_for[1]

async def post_each(bodies):
    while True:  # one at a time, in the order typed
        await post(await bodies.get())

async def main():
    bodies, _tasks = asyncio.Queue(), [asyncio.create_task(watch())]
    _tasks.append(asyncio.create_task(post_each(bodies)))
    while line := await asyncio.to_thread(sys.stdin.readline):
        bodies.put_nowait(line.strip())

asyncio.run(main())
