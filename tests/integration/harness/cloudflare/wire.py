"""TCP from an address of Cloudflare's, and the TLS on it, whose bytes pass through our hands: the
ClientHello goes out in two segments, as one with a post-quantum key share does.

Python's ssl has that key share from OpenSSL 3.5 on. Over an older one the hello is made as long
(about 1.7 KiB) by ALPN names that nobody speaks; hello.py has the real share.
"""

import asyncio
import errno
import socket
import ssl

from .terms import CIPHERS, Failed, Times

POST_QUANTUM = ssl.OPENSSL_VERSION_INFO >= (3, 5)
SEGMENT = 1208  # what a tunnel leaves of a packet
NOBODY_SPEAKS = tuple(f"{n:0230}" for n in range(5))


def client_context(ca, alpn, certificate=None, long_hello: bool = True) -> ssl.SSLContext:
    """Full (strict): the chain and the name are verified. `certificate`: a certs.Leaf, for
    Authenticated Origin Pulls."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols([*alpn, *(NOBODY_SPEAKS if long_hello and not POST_QUANTUM else ())])
    if certificate:
        context.load_cert_chain(str(certificate.chain), str(certificate.key))
    return context


def unreachable(error: OSError) -> Failed:
    """What a visitor is shown when no connection comes to be."""
    if isinstance(error, ConnectionRefusedError):
        return Failed(521, "refused", error)
    if isinstance(error, TimeoutError):
        return Failed(522, "connect_timeout", error)
    return Failed(523, "unreachable", error)


def broken(error: Exception) -> Failed:
    """What ended a connection that had been made."""
    if isinstance(error, ssl.SSLError):
        return Failed(520, "tls_alert", error.reason or error)  # also of a client certificate that is not taken
    if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
        return Failed(520, "keep_alive", error)
    return Failed(520, "reset", error)


async def connected(target: tuple[str, int], source: str, times: Times) -> socket.socket:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), times.probe):
            made.setsockopt(socket.IPPROTO_TCP, option, round(value))
        made.bind((source, 0))
        async with asyncio.timeout(times.connect):
            await asyncio.get_running_loop().sock_connect(made, target)
        return made
    except OSError as error:  # TimeoutError is one
        made.close()
        raise unreachable(error) from None


class Wire:
    """A connection whose handshake is done: plain text in and out."""

    def __init__(self, connection: socket.socket, times: Times, context: ssl.SSLContext, sni: str, session=None):
        self._socket, self._times = connection, times
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=sni, session=session)
        self._writing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Task | None = None
        self.hello_size = 0

    async def shake(self, cut: int = SEGMENT, pause: float = 0.0) -> None:
        """The handshake, its hello cut in two there. Its failures are Cloudflare's 521, 525 and 526."""
        heard = False
        try:
            async with asyncio.timeout(self._times.connect):
                self._step()
                hello = self._out.read()
                self.hello_size = len(hello)
                await self._loop.sock_sendall(self._socket, hello[:cut])
                await asyncio.sleep(pause)  # the second segment's way
                await self._loop.sock_sendall(self._socket, hello[cut:])
                while not self._step():
                    await self._push()
                    data = await self._loop.sock_recv(self._socket, 65536)
                    if not data:
                        raise ConnectionResetError("closed within the handshake")
                    heard = True
                    self._in.write(data)
                await self._push()
        except ssl.SSLCertVerificationError as error:
            await self._say_why()
            raise Failed(526, "certificate", error.verify_message) from None
        except ssl.SSLError as error:
            await self._say_why()
            raise Failed(525, "handshake", error.reason or error) from None
        except TimeoutError:
            raise Failed(525, "handshake_timeout") from None
        except OSError as error:
            raise (Failed(525, "handshake", error) if heard else Failed(521, "closed_at_accept", error)) from None

    def _step(self) -> bool:
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    async def _push(self) -> None:
        if data := self._out.read():
            await self._loop.sock_sendall(self._socket, data)

    async def _say_why(self) -> None:
        """The alert that OpenSSL wrote."""
        try:
            await self._push()
        except OSError:
            pass

    async def read(self) -> bytes:
        """What comes next; nothing at the end."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise broken(error) from None
            try:
                data = await self._loop.sock_recv(self._socket, 1 << 16)
            except OSError as error:
                raise broken(error) from None
            if not data:
                return b""
            self._in.write(data)

    async def write(self, data: bytes) -> None:
        """524 if the origin takes nothing for too long."""
        view = memoryview(data)
        async with self._writing:
            try:
                for at in range(0, len(view), 16384):
                    self.tls.write(view[at : at + 16384])
                    async with asyncio.timeout(self._times.write):
                        await self._push()
            except TimeoutError:
                raise Failed(524, "write_stalled") from None
            except (OSError, ssl.SSLError) as error:
                raise broken(error) from None

    def close(self) -> None:
        """Not under the hands of who writes: the loop still watches the descriptor for it."""
        if self._closing is None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        async with self._writing:
            self._socket.close()

    async def closed(self) -> None:
        await self._closing
