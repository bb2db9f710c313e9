"""
A REST server as OpenVLA's is, written from the wire format and sharing no code with this package.

Its policy answers [mean of the image, length of the instruction, length of the unnorm_key]; for the instruction "chunk" it
gives three of them, the way of OpenVLA-OFT; "raise", "dict", "garbage", "status", "broken" and "hang" make it fail in its
several ways.
"""

import base64
import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def decode(message):
    if "__numpy__" in message:
        return np.frombuffer(base64.b64decode(message["__numpy__"]), message["dtype"]).reshape(message["shape"])
    return message


def encode(array):
    return {"__numpy__": base64.b64encode(array.tobytes()).decode(), "dtype": array.dtype.str, "shape": array.shape}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])), object_hook=decode)
        instruction = request.get("instruction")
        if instruction == "hang":
            return self.rfile.read()
        if instruction == "status":
            return self.reply(422, b'{"detail": "unprocessable"}')
        if instruction == "dict":
            return self.reply(200, b'{"error": "unnorm_key not found", "trace": "..."}')
        if instruction == "broken":
            return self.reply(500, b"CUDA out of memory")
        if self.path != "/act" or instruction == "raise":
            return self.reply(200, b'"error"')
        if instruction == "garbage":
            return self.reply(200, b'{"__numpy__": "AAAA", "dtype": "O", "shape": [1]}')
        action = np.array([request["image"].mean(), len(instruction), len(request.get("unnorm_key", ""))])
        answer = [encode(action + position) for position in range(3)] if instruction == "chunk" else encode(action)
        return self.reply(200, json.dumps(answer).encode())

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6 if sys.argv[1:] == ["::1"] else socket.AF_INET


if __name__ == "__main__":
    server = Server((sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
