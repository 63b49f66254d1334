# timeout: 600
"""Programs that others wrote, end to end: several uploads and downloads of some MiB each over kept
connections, compared by hash. What passes a test of our own making may still be a private
misunderstanding of HTTP.

Java, Node and Chromium are for `./dev test --all` alone: they are large, and slow to start. There a
missing one is a failure.
"""

import asyncio
import base64
import hashlib
import html
import json
import os
import pathlib
import re
import ssl
from concurrent import futures

import grpc
import pytest
import websockets
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness import config
from harness.clients import run, tls, tls_context
from harness.gateway import Gateway
from harness.h2client import H2Client
from harness.origin import pattern

SIZE = 3_000_001
ROUNDS = 3
CLIENTS = pathlib.Path(__file__).parent / "clients"
UPSTREAMS = ("h1", "h2")


def slow(test):
    """Collected under `./dev test --all` only."""
    return test if os.environ.get("SALLYPORT_TEST_ALL") else None


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


WANTED = sha256(pattern(SIZE))


class Echo(grpc.GenericRpcHandler):
    """Unary and both ways at once: each message comes back."""

    def service(self, call):
        if call.method == "/t.S/Echo":
            return grpc.unary_unary_rpc_method_handler(lambda request, _: request)
        return grpc.stream_stream_rpc_method_handler(lambda requests, _: requests)


@pytest.fixture(scope="module")
def leaf(certs):
    # Java sends no SNI for a name without a dot.
    return certs.ca.leaf("localhost", "gateway.test")


@pytest.fixture(scope="module")
def grpc_port():
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait(10)


@pytest.fixture(scope="module")
def gw(binary, origin, leaf, grpc_port, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    routes = [{"match": {"path_prefix": f"/{k}/"}, "rewrite": {"prefix": "/"}, "upstream": k} for k in UPSTREAMS]
    routes.append({"match": {"path_prefix": "/t.S/"}, "upstream": "grpc"})
    page = {"status": 200, "body": (CLIENTS / "page.html").read_text(), "headers": {"content-type": "text/html"}}
    routes.append({"match": {"path": "/page"}, "reply": page})
    routes.append({"upstream": "h1"})
    made = config.basic([leaf], [], folder)
    made["hosts"] = [config.host(["localhost", "gateway.test"], [leaf], routes)]
    made["upstreams"] = {k: {"protocol": k, "endpoints": [origin.endpoint(k)]} for k in UPSTREAMS}
    made["upstreams"]["grpc"] = {"protocol": "h2", "endpoints": [f"127.0.0.1:{grpc_port}"]}
    started = Gateway(binary, made, folder).wait_ready()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def upload(tmp_path_factory):
    file = tmp_path_factory.mktemp("upload") / "body"
    file.write_bytes(pattern(SIZE))
    return file


@pytest.fixture(params=UPSTREAMS)
def upstream(request):
    return request.param


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl(gw, certs, upload, tmp_path, version, upstream):
    command = ["curl", "-sS", "-q", "--fail", "--max-time", "60", "--http" + version, "--cacert", certs.ca.pem,
               "-w", "%{num_connects} %{http_version}\n"]  # fmt: skip
    downloads = [part for i in range(ROUNDS) for part in ("-o", tmp_path / f"{i}", gw.url(f"/{upstream}/bytes/{SIZE}"))]
    done = run(*command, *downloads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"1 {version}"] + [f"0 {version}"] * (ROUNDS - 1), "the connection is kept"
    assert {sha256((tmp_path / f"{i}").read_bytes()) for i in range(ROUNDS)} == {WANTED}
    uploads = [part for i in range(ROUNDS) for part in ("-o", tmp_path / f"up{i}", gw.url(f"/{upstream}/upload"))]
    done = run(*command, "--data-binary", f"@{upload}", *uploads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"1 {version}"] + [f"0 {version}"] * (ROUNDS - 1)
    for i in range(ROUNDS):
        assert json.loads((tmp_path / f"up{i}").read_bytes()) == {"bytes": SIZE, "sha256": WANTED}


def test_nghttp(gw, upload, tmp_path, upstream):
    urls = [gw.url(f"/{upstream}/bytes/{SIZE}?{i}") for i in range(ROUNDS)]
    with open(tmp_path / "out", "wb") as out:
        done = run("sh", "-c", 'out=$1; shift; exec nghttp --window-bits=20 "$@" >"$out"', "sh", out.name, *urls)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").stat().st_size == ROUNDS * SIZE
    # The bodies come interleaved; one by one they can be compared.
    done = run("sh", "-c", 'out=$1; shift; exec nghttp "$@" >"$out"', "sh", out.name, urls[0])
    assert done.returncode == 0 and sha256((tmp_path / "out").read_bytes()) == WANTED
    done = run("nghttp", "-d", upload, "-m", ROUNDS, gw.url(f"/{upstream}/upload"))
    assert done.stdout.count(WANTED) == ROUNDS, (done.stdout, done.stderr)


def test_python_h2(gw, certs, upstream):
    with tls(gw.port(), tls_context(certs.ca.pem, alpn=("h2",))) as connection:
        client = H2Client(connection)
        for _ in range(ROUNDS):
            downloads = [client.start("GET", f"/{upstream}/bytes/{SIZE}") for _ in range(3)]
            answer = client.post(f"/{upstream}/upload", pattern(SIZE))
            assert json.loads(answer.body) == {"bytes": SIZE, "sha256": WANTED}
            assert {sha256(client.response(number).body) for number in downloads} == {WANTED}


def test_grpc(gw, certs):
    credentials = grpc.ssl_channel_credentials(certs.ca.pem.read_bytes())
    options = [("grpc.max_receive_message_length", -1)]
    message = pattern(SIZE)
    with grpc.secure_channel(f"localhost:{gw.port()}", credentials, options) as channel:
        for _ in range(ROUNDS):
            assert sha256(channel.unary_unary("/t.S/Echo")(message, timeout=60)) == WANTED
            answers = channel.stream_stream("/t.S/Chat")(iter([message] * 3), timeout=60)
            assert [sha256(answer) for answer in answers] == [WANTED] * 3


def test_websockets(gw, certs):
    async def talk():
        context = ssl.create_default_context(cafile=str(certs.ca.pem))
        address = f"wss://localhost:{gw.port()}/ws"
        async with websockets.connect(address, ssl=context, max_size=None) as socket:
            for _ in range(ROUNDS):
                await socket.send(pattern(SIZE))
                assert sha256(await asyncio.wait_for(socket.recv(), 60)) == WANTED
        assert socket.close_code == 1000

    asyncio.run(talk())


def _verdict(done) -> None:
    assert done.returncode == 0, (done.stdout, done.stderr)
    lines = done.stdout.splitlines()
    assert lines[-1] == "done", done.stdout
    downloads = [line.split()[1] for line in lines if line.startswith("download ")]
    assert downloads == [WANTED] * (4 * ROUNDS)


@slow
@pytest.mark.parametrize("version", ["HTTP_1_1", "HTTP_2"])
def test_java_http_client(gw, certs, tmp_path, version, upstream):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 gateway.test\n")
    base = gw.url(f"/{upstream}", host="gateway.test")
    _verdict(run("java", f"-Djdk.net.hosts.file={hosts}", CLIENTS / "Client.java", base, certs.ca.pem, version, SIZE,
                 ROUNDS, timeout=180))  # fmt: skip
    assert gw.wait_access(8 * ROUNDS, authority=f"gateway.test:{gw.port()}", proto=version.replace("HTTP_", "HTTP/")
                          .replace("1_1", "1.1").replace("/2", "/2.0"))  # fmt: skip


@slow
@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_node(gw, certs, protocol, upstream):
    # Its http2 takes an authority, not a path: the h1 upstream is the default route's.
    prefix = "" if upstream == "h1" else "/h2"
    _verdict(run("node", CLIENTS / "client.mjs", gw.url(""), prefix, certs.ca.pem, protocol, SIZE, ROUNDS, timeout=180))


@slow
def test_chromium(gw, leaf, tmp_path):
    key = leaf.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    done = run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
               "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}", f"--ignore-certificate-errors-spki-list={pin}",
               "--host-resolver-rules=MAP gateway.test 127.0.0.1, EXCLUDE localhost", "--virtual-time-budget=120000",
               "--dump-dom", gw.url(f"/page?size={SIZE}", host="gateway.test"), timeout=240)  # fmt: skip
    found = re.search(r'<pre id="verdict">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, (done.stdout, done.stderr)
    lines = html.unescape(found.group(1)).splitlines()
    assert lines[-1] == "done", lines
    assert lines.count(f"download {WANTED}") == 8 and lines.count("upload right") == 8
    assert "echo from a browser" in lines and "protocol h2" in lines
