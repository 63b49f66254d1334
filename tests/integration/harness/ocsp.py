"""OCSP answers of any kind, and a responder that gives them over HTTP as a test says."""

import datetime
import http.server
import socket
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from .certs import Authority, Leaf

SECOND = datetime.timedelta(seconds=1)
MUST_STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])


def names_responder(url: str) -> x509.AuthorityInformationAccess:
    """The extension that says where a certificate's responder is."""
    location = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)])


def answer(leaf: Leaf, issuer: Authority, begins: float = -60, ends: float | None = 3600, revoked: bool = False,
           signer: Authority | None = None, status=None) -> bytes:  # fmt: skip
    """An OCSPResponse about `leaf`; `begins` and `ends` in seconds from now."""
    now = datetime.datetime.utcnow()
    signer = signer or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf.certificate, issuer=issuer.certificate, algorithm=hashes.SHA1(),
        cert_status=status or (ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD),
        this_update=now + begins * SECOND, next_update=None if ends is None else now + ends * SECOND,
        revocation_time=now - 120 * SECOND if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )  # fmt: skip
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    return builder.sign(signer._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def openssl_answer(leaf: Leaf, issuer: Authority, folder, request: bytes | None = None, minutes: int = 60) -> bytes:
    """What `openssl ocsp` says as the responder that the issuer named for it."""
    delegate = issuer.leaf("responder", usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    serial = f"{leaf.serial:X}"
    serial = "0" * (len(serial) % 2) + serial
    index = folder / "index.txt"
    index.write_text(f"V\t400101000000Z\t\t{serial}\tunknown\t/CN=any\n")
    asked = []
    if request is None:
        asked = ["-issuer", issuer.pem, "-cert", leaf.chain, "-no_nonce"]
    else:
        (folder / "request.der").write_bytes(request)
        asked = ["-reqin", folder / "request.der"]
    out = folder / "response.der"
    command = ["openssl", "ocsp", "-index", index, "-CA", issuer.pem, "-rsigner", delegate.chain, "-rkey", delegate.key,
               *asked, "-respout", out, "-nmin", minutes]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)
    return out.read_bytes()


class Responder:
    """`reply` is called with each question (DER) and gives the answer, (status, headers, body), or
    None, after which the connection stays open and silent."""

    def __init__(self, reply=lambda question: b""):
        self.reply = reply
        self.questions: list[bytes] = []
        self._stopped = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/ocsp"

    def _handler(self):
        responder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/ocsp-request"
                made = responder.reply(question)
                responder.questions.append(question)
                if made is None:
                    responder._stopped.wait(60)
                    return
                status, headers, body = made if isinstance(made, tuple) else (200, {}, made)
                self.send_response(status)
                for name, value in {"Content-Type": "application/ocsp-response", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_):
                pass

        return Handler

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


def unused_url() -> str:
    """A responder that nobody answers for."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}/"
