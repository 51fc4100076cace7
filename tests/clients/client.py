"""python3 client.py URL STREAM: posts each line of standard input; prints comments, frames and states as JSON."""
import asyncio, json, random, sys, uuid
import websockets

AGAIN = {1001, 1006, 1011, 1012, 1013, 3008, 3012}
URL, STREAM = sys.argv[1:]
current, position, seen, unanswered, wait = None, None, {}, {}, {"min_ms": 100, "max_ms": 3000}

def take(frame):
    unanswered.pop(frame.get("ref"), None)
    if frame["type"] == "reset":
        seen.clear()
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
        query, socket = f"?name=python&after={position or ''}", None
        try:
            async with websockets.connect(f"{URL}/v1/streams/{STREAM}/watch{query}", subprotocols=["fanfare.v1"]) as socket:
                async for frame in (json.loads(text) async for text in socket):
                    if frame["type"] == "hello":
                        failures, (old, current), wait = 0, (current, socket), frame["reconnect"]
                        print(json.dumps({"state": "live", "resumed": frame["resumed"]}), flush=True)
                        await asyncio.gather(*(socket.send(json.dumps(post)) for post in unanswered.values()))
                        await old.close() if old else None
                    elif frame["type"] == "reconnect":
                        moving = asyncio.create_task(watch(random.random() * frame["within_ms"] / 2000))
                    elif socket is current:
                        take(frame)
                    if socket is current and not (position and frame["type"] == "hello"):
                        position = frame.get("position", position)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
            pass  # not connected, or cut
        delay = random.uniform(wait["min_ms"], min(60_000, wait["max_ms"] * 2**failures)) / 1000
        failures, current = failures + 1, None if current is socket else current

async def post_lines():
    while line := await asyncio.to_thread(sys.stdin.readline):
        post = {"type": "post", "ref": str(uuid.uuid4()), "id": str(uuid.uuid4()), "body": line.strip()}
        unanswered[post["ref"]] = post
        try:
            await current.send(json.dumps(post))
        except (AttributeError, websockets.WebSocketException):
            pass  # it is sent with the next hello

async def main():
    await asyncio.gather(watch(), post_lines())

asyncio.run(main())
