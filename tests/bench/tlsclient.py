"""The loads that no packaged tool makes, as a program of its own so that it can be pinned and ended:

    tlsclient.py handshakes --port P --ca FILE --seconds S [--resume] [--tls12]
        connects, asks once and closes, over and over; prints {"requests": n, "errors": [...]}
    tlsclient.py idle --port P --ca FILE --count N --protocol h1|h2
        opens connections, asks once on each, prints {"open": n}, keeps them until its input ends
"""

import argparse
import json
import socket
import ssl
import sys
import time

TIMEOUT = 10  # seconds for any one step
REQUEST = b"GET /1k HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n"


def context(ca: str, tls12: bool = False, alpn: str = "http/1.1") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    version = ssl.TLSVersion.TLSv1_2 if tls12 else ssl.TLSVersion.TLSv1_3
    made.minimum_version = made.maximum_version = version
    made.set_alpn_protocols([alpn])
    return made


def connect(port: int, tls: ssl.SSLContext, session: ssl.SSLSession | None = None,
            name: str = "localhost") -> ssl.SSLSocket:  # fmt: skip
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(plain, server_hostname=name, session=session)


def ask_and_close(connection: ssl.SSLSocket) -> ssl.SSLSession:
    """Its session with the ticket that came before the answer; once it is closed, Python has none to give."""
    with connection:
        connection.sendall(REQUEST % (connection.server_hostname.encode(), b"close"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        session = connection.session
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"the answer was {answer[:60]!r}")
    if session is None:
        raise OSError("a connection without a session")
    return session


def handshakes(arguments: argparse.Namespace) -> dict:
    tls = context(arguments.ca, arguments.tls12)
    session = None
    done, errors = 0, []
    deadline = time.monotonic() + arguments.seconds
    while time.monotonic() < deadline and len(errors) < 10:
        try:
            connection = connect(arguments.port, tls, session)
            if connection.session_reused != (session is not None):
                raise OSError("not resumed" if session else "resumed without being asked")
            kept = ask_and_close(connection)
            if arguments.resume:
                session = kept
            done += 1
        except OSError as error:
            errors.append(str(error))
    return {"requests": done, "errors": errors}


# ---- idle connections ------------------------------------------------------------------------


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# GET, https, /1k, localhost: indexed fields of HPACK's static table and literals that are not indexed.
H2_HEAD = b"\x82\x87\x04\x03/1k\x01\x09localhost"
H2_REQUEST = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 0x5, 1, H2_HEAD)


def read_exactly(connection: ssl.SSLSocket, count: int) -> bytes:
    taken = b""
    while len(taken) < count:
        piece = connection.recv(count - len(taken))
        if not piece:
            raise OSError("closed in the middle of an answer")
        taken += piece
    return taken


def ask_h2(connection: ssl.SSLSocket) -> None:
    connection.sendall(H2_REQUEST)
    while True:
        head = read_exactly(connection, 9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
        read_exactly(connection, int.from_bytes(head[:3], "big"))
        if kind == 4 and not flags & 1:
            connection.sendall(frame(4, 1, 0))
        elif kind in (3, 7):
            raise OSError("the stream was reset" if kind == 3 else "GOAWAY")
        elif stream == 1 and flags & 1:
            return


def ask_h1(connection: ssl.SSLSocket) -> None:
    connection.sendall(REQUEST % (b"localhost", b"keep-alive"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("closed before an answer")
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"the answer was {head[:60]!r}")
    read_exactly(connection, 1024 - len(body))


def idle(arguments: argparse.Namespace) -> None:
    h2 = arguments.protocol == "h2"
    tls = context(arguments.ca, alpn="h2" if h2 else "http/1.1")
    held = []
    for _ in range(arguments.count):
        held.append(connect(arguments.port, tls))
        (ask_h2 if h2 else ask_h1)(held[-1])
    print(json.dumps({"open": len(held)}), flush=True)
    sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("handshakes", "idle"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--protocol", choices=("h1", "h2"), default="h1")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--tls12", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "idle":
        idle(arguments)
    else:
        print(json.dumps(handshakes(arguments)))


if __name__ == "__main__":
    main()
