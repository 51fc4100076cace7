"""The metrics that the autoscaler asks the API server for, as a metrics server and prometheus-adapter would give them.

usage: metrics.py PORT CERTIFICATE KEY STATE. The file STATE is read at each question: {"cpu": "1200m", "viewers": 9000,
"unready": 0}, the first two for every pod.
"""

import http.server
import json
import ssl
import subprocess
import sys
from datetime import datetime, timezone

PORT, CERTIFICATE, KEY, STATE = sys.argv[1:]
GROUPS = {
    "metrics.k8s.io/v1beta1": [("pods", "PodMetrics")],
    "custom.metrics.k8s.io/v1beta2": [
        ("pods/fanfare_viewers", "MetricValueList"),
        ("services/fanfare_any_unready", "MetricValueList"),
    ],
}


def pods():
    command = ["kubectl", "-n", "fanfare", "get", "pods", "-l", "track=blue", "-o", "name"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [name.removeprefix("pod/") for name in names]


def of_pod(name, now, cpu):
    usage = {"cpu": cpu, "memory": "200Mi"}
    containers = [{"name": "fanfare", "usage": usage}]
    meta = {"name": name, "namespace": "fanfare"}
    return {"metadata": meta, "timestamp": now, "window": "15s", "containers": containers}


def value(kind, name, metric, number, now):
    described = {"kind": kind, "namespace": "fanfare", "name": name, "apiVersion": "v1"}
    return {"describedObject": described, "metric": {"name": metric}, "timestamp": now, "value": str(number)}


def answer(path):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    with open(STATE, encoding="utf-8") as file:
        state = json.load(file)
    path = path.split("?")[0].removeprefix("/apis/").rstrip("/")
    if path in GROUPS:
        resources = [
            {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
            for name, kind in GROUPS[path]
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path, "resources": resources}
    if path == "metrics.k8s.io/v1beta1/namespaces/fanfare/pods":
        items = [of_pod(name, now, state["cpu"]) for name in pods()]
        return {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}
    custom = "custom.metrics.k8s.io/v1beta2"
    if path == custom + "/namespaces/fanfare/pods/*/fanfare_viewers":
        items = [value("Pod", name, "fanfare_viewers", state["viewers"], now) for name in pods()]
    elif path == custom + "/namespaces/fanfare/services/fanfare-ops-blue/fanfare_any_unready":
        items = [value("Service", "fanfare-ops-blue", "fanfare_any_unready", state["unready"], now)]
    else:
        return None
    return {"kind": "MetricValueList", "apiVersion": custom, "metadata": {}, "items": items}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802  # the name that the library asks for
        found = answer(self.path.replace("%2A", "*"))
        body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing of each question."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
