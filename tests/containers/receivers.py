"""A mail server and a web server that note what arrives: receivers.py PREFIX ADDRESS SMTP_PORT HTTP_PORT"""

import http.server, socketserver, sys, threading

prefix, address, smtp, web = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for kind in ("mail", "http"):
    open(f"{prefix}.{kind}", "wb").close()


class Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs to deliver a message."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 receiver ESMTP")
        while line := self.rfile.readline():
            command = line.strip().upper()
            if command.startswith(b"EHLO"):
                self.say("250 receiver")
            elif command == b"DATA":
                self.say("354 go on")
                with open(f"{prefix}.mail", "ab") as file:
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        file.write(part)
                self.say("250 kept")
            elif command == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with open(f"{prefix}.http", "ab") as file:
            file.write(body + b"\n")
        self.send_response(204)
        self.end_headers()


socketserver.ThreadingTCPServer.allow_reuse_address = True
threading.Thread(target=socketserver.ThreadingTCPServer((address, smtp), Mail).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer((address, web), Web).serve_forever()
