#!/usr/bin/env bash
# The instructions that a post costs Redis with the present functions and with those of another commit (BEFORE), counted by
# callgrind: a figure that other work on the machine does not change. Each count is the difference of a run with 12,000
# posts and one with 2,000, over 10,000. Wants redis-server, valgrind and Python 3. Prints a table.
set -euo pipefail
cd "$(dirname "$0")/.."
before=${BEFORE:?a commit whose deploy/redis/fanfare.lua is compared}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git show "$before:deploy/redis/fanfare.lua" >"$work/before"
cp deploy/redis/fanfare.lua "$work/now"
WORK=$work python3 - <<'PYTHON'
import os, re, socket, subprocess, time

WORK, BATCH = os.environ["WORK"], 200


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def post(number, keyed):
    words = ["FCALL", "fanfare_publish", 1, "ff:{s%d}" % (number % 20), 1, "abcdef0123456789", "id%018d" % number, "comment"]
    words += [1767000000000, '{"author":"viewer%d","text":"once more %d"}' % (number % 1000, number), 500, 3600000]
    if keyed:
        words += ["viewer%d\np%d" % (number % 1000, number), "0123456789abcdef"]
    return command(*words)


def connect(port):
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)
    raise SystemExit("redis-server did not start")


def instructions(library, keyed, posts):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    redis = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--hz", "1", "--dynamic-hz", "no"]
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + WORK + "/callgrind"]
    with open(WORK + "/errors", "w") as errors:
        process = subprocess.Popen(tool + redis, cwd=WORK, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        link = connect(port)
        link.sendall(command("FUNCTION", "LOAD", open(WORK + "/" + library, "rb").read()))
        assert link.recv(1000).endswith(b"fanfare\r\n")
        for first in range(0, posts, BATCH):
            link.sendall(b"".join(post(number, keyed) for number in range(first, first + BATCH)))
            answers = b""
            while answers.count(b"*3\r\n") < BATCH:
                answers += link.recv(1 << 18)
                assert b"-" not in answers, answers[:200]
    finally:
        process.terminate()
        process.wait()
    return int(re.search(r"Collected : (\d+)", open(WORK + "/errors").read()).group(1))


print("| a post | before | now | ratio |\n|---|---|---|---|")
for name, keyed in (("without an id", False), ("with an id", True)):
    before, now = (
        (instructions(library, keyed, 12000) - instructions(library, keyed, 2000)) / 10000 for library in ("before", "now")
    )
    print("| %s | %.0f | %.0f | %.3f |" % (name, before, now, now / before), flush=True)
PYTHON
