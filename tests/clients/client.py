"""python3 client.py URL STREAM [TOKEN]: posts each line of standard input; prints comments and states, a JSON object a line."""
import asyncio, contextlib, json, random, sys, uuid, websockets

AGAIN = {1000, 1001, 1005, 1006, 1011, 1012, 1013, 3008, 3012}
URL, STREAM, *TOKEN = sys.argv[1:]
current, position, seen, unanswered, repeats, wait = None, "", {}, {}, {}, {"min_ms": 100, "max_ms": 3000}

async def send(ref, after=0.0):
    await asyncio.sleep(after)
    with contextlib.suppress(AttributeError, KeyError, websockets.WebSocketException):  # without a socket, the next hello sends it
        await current.send(json.dumps(unanswered[ref]))

def take(frame):
    if frame.get("code") == "shard_unavailable" and "ref" in frame:  # it may be posted or not; its id makes repeating safe
        repeats[frame["ref"]] = asyncio.create_task(send(frame["ref"], 1 + random.random()))
    else:
        unanswered.pop(frame.get("ref"), None)
    seen.clear() if frame["type"] == "reset" else None
    for comment in frame.get("comments", []):
        if comment["id"] not in seen:
            seen[comment["id"]] = print(json.dumps({"seq": comment["seq"], "body": comment.get("body")}), flush=True)
    while len(seen) > 5000:
        seen.pop(next(iter(seen)))

async def watch(delay=0.0):
    global current, position, wait
    failures, moving, socket = 0, None, None
    while not moving and (socket is None or socket.close_code in AGAIN):
        await asyncio.sleep(delay)
        address, socket = f"{URL}/v1/streams/{STREAM}/watch?name=python&after={position}", None
        with contextlib.suppress(OSError, asyncio.TimeoutError, websockets.WebSocketException):
            async with websockets.connect(address, subprotocols=["fanfare.v1", *map("bearer.{}".format, TOKEN)]) as socket:
                async for frame in (json.loads(text) async for text in socket):
                    if frame["type"] == "hello":
                        failures, old, current, wait = 0, current, socket, frame["reconnect"]
                        position = position or frame["position"]
                        print(json.dumps({"state": "live", "resumed": frame["resumed"]}), flush=True)
                        await asyncio.gather(*map(send, unanswered))
                        await old.close() if old else None
                    elif frame["type"] == "reconnect":
                        moving = asyncio.create_task(watch(random.random() * frame["within_ms"] / 2000))
                    elif socket is current:
                        take(frame)
                        position = frame.get("position", position)
        delay = random.uniform(wait["min_ms"], min(30_000, wait["max_ms"] * 2**failures)) / 1000
        failures, current = failures + 1, None if current is socket else current

async def main():
    watching = asyncio.create_task(watch())
    while line := await asyncio.to_thread(sys.stdin.readline):
        ref = str(uuid.uuid4())
        unanswered[ref] = {"type": "post", "ref": ref, "id": str(uuid.uuid4()), "body": line.strip()}
        await send(ref)

asyncio.run(main())
