"""Where the chaos happens: one gateway, one origin, and lanes that each carry one case at a time.
A lane has a relay on the client's side of the gateway for each listener, and upstreams of its own
behind a relay each, so that the gateway's connections are known to belong to the lane's case."""

import asyncio
import collections
import json
import resource
import ssl

from . import chaos_verdict, config
from .chaos import Relay
from .chaos_cases import GET as BEFORE
from .chaos_cases import Case
from .chaos_peers import Origin, Progress, http1_client, http2_client
from .gateway import Gateway
from .metrics import Metrics
from .process import wait_until

LANES = 64
TIMEOUT = 3.0  # s, of everything that the gateway waits for; what this loop does takes far less
GATE = 0.75  # s: by then what can arrive has arrived; must be shorter than TIMEOUT
LIMIT = 30.0  # s: no case may take longer, whatever the machine is doing
LATE = 8.0  # s that a deadline of the gateway may be late on a busy machine; LIMIT is for those that never come
REPLIES, CUT_OFF = "sallyport_http_local_replies_total", "sallyport_http_cut_off_total"
GAUGES = ("sallyport_listener_connections", "sallyport_http_requests_in_flight", "sallyport_upstream_connections",
          "sallyport_upstream_pending_requests", "sallyport_tls_handshakes_in_progress")  # fmt: skip


class Log:
    """The access log, followed by target."""

    def __init__(self, path):
        self.path = path
        self.lines: dict[str, list[dict]] = {}
        self._file = None
        self._part = ""
        self._changed = asyncio.Condition()

    async def follow(self):
        while True:
            if self._file is None and self.path.exists():
                self._file = self.path.open()
            data = self._file.read() if self._file else ""
            if data:
                *whole, self._part = (self._part + data).split("\n")
                for line in map(json.loads, whole):
                    self.lines.setdefault(line.get("target", ""), []).append(line)
                async with self._changed:
                    self._changed.notify_all()
            await asyncio.sleep(0.01)

    async def more(self):
        async with self._changed:
            await self._changed.wait()

    async def line(self, target: str) -> dict:
        async with self._changed:
            await self._changed.wait_for(lambda: target in self.lines)
        return self.lines[target][0]


class Stage:
    def __init__(self, binary, certs, folder):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))  # each lane has a dozen sockets
        self.loop = asyncio.new_event_loop()
        self.folder, self.certs = folder, certs
        self.count = 0
        self.loop.run_until_complete(self._build(binary))
        self.rest = None

    async def _build(self, binary):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.certs.localhost.chain), str(self.certs.localhost.key))
        self.origin = await Origin().start(context)
        self.upstream = {}
        for kind, protocol in (("h1", "h1"), ("h2", "h2"), ("kept", "h1"), ("h1s", "h1s")):
            target = ("127.0.0.1", self.origin.ports[protocol])
            self.upstream[kind] = [await Relay(target).start() for _ in range(LANES)]
        self.gateway = Gateway(binary, self._config(), self.folder).wait_ready()
        self.client = {listener: [await Relay(("127.0.0.1", self.gateway.port(listener))).start()
                                  for _ in range(LANES)] for listener in ("http", "https")}  # fmt: skip
        self.log = Log(self.folder / "access.jsonl")
        self._follower = asyncio.get_running_loop().create_task(self.log.follow())

    def _config(self):
        made = config.basic([self.certs.localhost], [], self.folder, workers=2)
        second = f"{TIMEOUT}s".replace(".0", "")
        made["timeouts"] |= dict.fromkeys(("handshake", "request_head", "request_body", "idle", "send"), second)
        routes, upstreams = [], {}
        for kind, relays in self.upstream.items():
            for lane, relay in enumerate(relays):
                name = f"{kind}-{lane}"
                match = {"path_prefix": f"/{kind}/{lane}/"}
                routes.append({"match": match, "rewrite": {"prefix": "/"}, "upstream": name})
                upstreams[name] = {
                    "protocol": "h2" if kind == "h2" else "h1", "endpoints": [f"127.0.0.1:{relay.port}"],
                    "timeouts": dict.fromkeys(("connect", "tls", "first_byte", "idle", "tunnel"), second),
                    "pool": {"max_requests": 0 if kind == "kept" else 1}, "ejection": {"failures": 0},
                }  # fmt: skip
                if kind == "h1s":
                    upstreams[name]["tls"] = {"ca": str(self.certs.ca.pem), "server_name": "localhost"}
        made["hosts"] = [config.host("localhost", [self.certs.localhost], routes)]
        made["upstreams"] = upstreams
        return made

    def stop(self):
        self.loop.run_until_complete(self._stop())
        self.loop.close()
        self.gateway.stop()

    async def _stop(self):
        self._follower.cancel()
        for relays in (*self.upstream.values(), *self.client.values()):
            for relay in relays:
                await relay.close()
        await self.origin.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # ---- cases ----

    def run(self, cases: list[Case], lanes: int = LANES):
        """Runs them all, then looks for what they left behind. Fewer lanes for what is much work."""
        if self.rest is None:
            self.rest = self._at_rest()
        before = self._metrics()
        self.failures: list[str] = []
        self.counted = {REPLIES: collections.Counter(), CUT_OFF: collections.Counter()}
        self.nameless: list[dict] = []
        self.log.lines.pop("", None)
        self.loop.run_until_complete(self._run(cases, lanes))
        failures = self.failures + [f"origin: {failure!r}" for failure in self.origin.failures]
        self.origin.failures.clear()
        assert not failures, f"{len(failures)} of {len(cases)} cases:\n" + "\n".join(failures[:40])
        self._count(before)
        assert self._at_rest(self.rest) == self.rest

    async def _run(self, cases: list[Case], lanes: int):
        # The long ones first, and each lane takes the next that is left.
        waiting = sorted(cases, key=lambda case: case.fault != "stall")
        waiting.reverse()

        async def lane(number: int):
            while waiting:
                case = waiting.pop()
                self.count += 1
                try:
                    await _Run(self, case, number, str(self.count)).run()
                except Exception as failure:  # noqa: BLE001: all of them are told together
                    self.failures.append(f"{case}: {failure!r}" if not isinstance(failure, AssertionError)
                                         else f"{case}: {failure}")  # fmt: skip

        await asyncio.gather(*(lane(number) for number in range(lanes)))
        await self._nameless()

    async def _nameless(self):
        """The lines that name no target are as many, and say what, the cases were due."""
        while len(self.log.lines.get("", [])) < len(self.nameless):
            await asyncio.wait_for(self.log.more(), LIMIT)
        found = [{key: line.get(key) for key in ("status", "reason", "error", "fault")}
                 for line in self.log.lines.get("", [])]  # fmt: skip
        if sorted(map(str, found)) != sorted(map(str, self.nameless)):
            self.failures.append(f"lines without a target: {found}, due: {self.nameless}")

    def _metrics(self) -> Metrics:
        return self.gateway.metrics()

    def _count(self, before: Metrics):
        """The metrics tell of as many replies and cuts of each kind as the cases were due."""
        now = self._metrics()
        for name, due in self.counted.items():
            reasons = {labels["reason"] for labels, _ in now.samples(name)}
            found = {reason: now.value(name, reason=reason) - before.value(name, reason=reason) for reason in reasons}
            found = {reason: count for reason, count in found.items() if count}
            assert found == due, f"{name} grew by {found}, due: {due}"

    def _at_rest(self, wanted=None):
        """Gauges and file handles once nothing runs; waits for `wanted`, or for gauges at nought."""
        def still():
            metrics = self._metrics()
            state = {name: metrics.value(name) for name in GAUGES}
            if any(state.values()):
                return None
            state["open files"] = self.gateway.open_files()
            return state if wanted is None or state == wanted else None

        return wait_until(still, f"everything given back: {wanted}", process=self.gateway)


class _Run:
    """One case in one lane."""

    def __init__(self, stage: Stage, case: Case, lane: int, number: str):
        self.stage, self.case, self.number = stage, case, number
        kind = "kept" if case.kept else case.pairing.upstream
        self.target = f"/{kind}/{lane}/{number}"
        self.client_relay = stage.client["https" if case.pairing.tls else "http"][lane]
        self.upstream_relay = stage.upstream[kind][lane]
        self.relay = self.client_relay if case.leg == "client" else self.upstream_relay
        # Struck once the request is whole: the origin waits for its end.
        self.progress = Progress(case.exchange, hold=case.fault != "slice" and case.spot is None)

    async def run(self):
        strike = self.case.strike()
        strike.gate = self._gate
        if self.case.kept:
            self.progress.before = self.target + "-before", lambda: self.relay.links[-1].arm(strike)
            self.stage.origin.cases[self.number + "-before"] = Progress(BEFORE)
        else:
            self.relay.strike = strike
        self.stage.origin.cases[self.number] = self.progress
        client = asyncio.get_running_loop().create_task(self._client())
        try:
            await asyncio.wait_for(self._course(client), LIMIT)
        except asyncio.TimeoutError:
            raise AssertionError(f"hangs: {self.progress.response}, {self.stage.log.lines.get(self.target)}") from None
        finally:
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)
            links = list(self.relay.links)
            for relay in (self.client_relay, self.upstream_relay):
                relay.clear()
            del self.stage.origin.cases[self.number]
            self.stage.origin.cases.pop(self.number + "-before", None)
        self._judge(links)

    async def _course(self, client: asyncio.Task):
        if self.progress.hold:
            await self.progress.asked.wait()
            self.relay.links[0].strike_now()
        if self.case.leg == "client" and self.case.direction == "down" and self.case.fault == "stall":
            # Nothing tells such a client that there is nothing more to come.
            waits = [asyncio.ensure_future(wait) for wait in (asyncio.shield(client), self._broken())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        else:
            await client
        client_done = client.done() and client.exception()
        assert not client_done, f"the client: {client_done!r}"
        self.verdict = chaos_verdict.expected(self.case, self.relay.links, self.progress)
        if self.verdict.log and not self.verdict.nameless:
            await self.stage.log.line(self.target)
        if self.progress.hold:
            await self.progress.dropped.wait()

    async def _broken(self):
        while not self.relay.links:
            await asyncio.sleep(0.01)
        await self.relay.links[0].broken.wait()
        if chaos_verdict.expected(self.case, self.relay.links, self.progress).log:
            await self.stage.log.line(self.target)

    async def _client(self):
        pairing = self.case.pairing
        port = self.client_relay.port
        if self.case.leg == "upstream":
            port = self.stage.gateway.port("https" if pairing.tls else "http")
        context = None
        if pairing.tls:
            context = ssl.create_default_context(cafile=str(self.stage.certs.ca.pem))
            context.set_alpn_protocols(["h2" if pairing.client == "h2" else "http/1.1"])
        speak = http2_client if pairing.client == "h2" else http1_client
        await speak(("127.0.0.1", port), self.case.exchange, self.target, self.progress, context)

    async def _gate(self, flow):
        """What passed is known to have arrived before the wire breaks."""
        try:
            arrived = chaos_verdict.gate(self.case, flow, self.progress, lambda: self.stage.log.line(self.target))
            await asyncio.wait_for(arrived, GATE)
        except asyncio.TimeoutError:
            pass

    def _judge(self, links):
        want = self.verdict
        lines = self.stage.log.lines.get(self.target, [])
        facts = f"passed {[bytes(link.struck.passed[-60:]) for link in links if link.struck]}"
        if want.nameless:
            self.stage.nameless.append(want.log)
        if want.log and want.log["reason"]:
            self.stage.counted[CUT_OFF if want.client == "cut" else REPLIES][want.log["reason"]] += 1
        wrong = chaos_verdict.differences(self.case, want, self.progress, lines)
        assert not wrong, f"{wrong}; want {want}; got {self.progress.response} {self.progress.received} {lines} {facts}"
        for line in lines:
            due = TIMEOUT * (1 + line.get("retries", 0)) + LATE
            assert not line.get("error") or line["duration_s"] < due, f"late: {line}"
