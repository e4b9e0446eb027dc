"""A mixed load of clients that keep their connections, and that repeat no request by themselves.

usage: load.py URL TOKENS_FILE PACKAGES_FOLDER REPORT   until SIGTERM; REPORT is then a JSON object
"""

import http.client, json, pathlib, signal, ssl, sys, threading, time, urllib.parse

URL = urllib.parse.urlsplit(sys.argv[1])
TOKENS = pathlib.Path(sys.argv[2]).read_text().split()
PACKAGES = sorted(pathlib.Path(sys.argv[3]).glob("*.tar.gz"))
stop = threading.Event()
lock = threading.Lock()
asked, failed, waits = 0, [], []
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def multipart(path):
    edge = "edge-of-a-part"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="plugin_file"; filename="{path.name}"\r\n\r\n'
    return f"multipart/form-data; boundary={edge}", head.encode() + path.read_bytes() + f"\r\n--{edge}--\r\n".encode()


def request(connection, kind, number, token):
    headers = {"Authorization": f"Bearer {token}"}
    method, path, body = "GET", "/api/v1/plugins?page=1&per_page=10", None
    if kind == "detail":
        path = "/api/v1/plugins/hello"
    elif kind == "download":
        path = "/api/v1/plugins/hello/download"
    elif kind in ("search", "rating"):
        method = "POST"
        headers["Content-Type"] = "application/json"
        path = "/api/v1/search" if kind == "search" else "/api/v1/plugins/hello/ratings"
        body = json.dumps({"query": "hello"} if kind == "search" else {"rating": 1 + number % 5})
    elif kind == "upload":
        method, path = "POST", "/api/v1/plugins"
        headers["Content-Type"], body = multipart(PACKAGES[number % len(PACKAGES)])
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers.get("x-request-id")


def client(index):
    global asked
    kinds = ["list", "download", "search", "rating", "detail", "download", "list", "search"]
    pause, number, connection = 0.08, index * 1000, None
    # The first user owns the plugin, and nobody rates their own.
    token = TOKENS[1 + index % (len(TOKENS) - 1)]
    if index == 0:
        kinds, pause, token = ["upload"], 0.7, TOKENS[0]
    if index == 1:
        # Seldom, so that its connection is idle most of the time.
        pause = 2.5
    while not stop.is_set():
        number += 1
        kind = kinds[number % len(kinds)]
        if connection is None:
            connection = http.client.HTTPSConnection(URL.hostname, URL.port, timeout=20, context=context)
        began, said, request_id = time.time(), None, None
        try:
            status, request_id = request(connection, kind, number, token)
            if not 200 <= status < 300:
                said = status
        except Exception as e:  # whatever it is, the request is lost
            said = repr(e)
            connection = None
        took = time.time() - began
        with lock:
            asked += 1
            waits.append((took, kind))
            if said is not None:
                failed.append({"kind": kind, "said": said, "at": round(began, 2), "took": round(took, 3), "request_id": request_id})
        stop.wait(pause)


signal.signal(signal.SIGTERM, lambda *_: stop.set())
signal.signal(signal.SIGUSR1, lambda *_: print(asked, flush=True))
signal.signal(signal.SIGINT, lambda *_: stop.set())
threads = [threading.Thread(target=client, args=[index]) for index in range(16)]
for thread in threads:
    thread.start()
while not stop.wait(1):
    pass
for thread in threads:
    thread.join()
waits.sort()
report = {"asked": asked, "lost": len(failed), "slowest": round(waits[-1][0], 3), "slow": waits[-5:], "p99": round(waits[int(len(waits) * 0.99)][0], 3), "failed": failed[:40]}
pathlib.Path(sys.argv[4]).write_text(json.dumps(report))
