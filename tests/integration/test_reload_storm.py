# labels: bulk multiworker
# timeout: 900
"""200 reloads, one after the other, under load: no request fails, no connection is cut, every
certificate swap shows at once, and the memory and the file handles are back where they were."""

import shutil

from harness import config, scaled
from harness.clients import tls, tls_context
from harness.load import Download, FreshHttp1, KeptHttp1, KeptHttp2, Load, WebSocket
from harness.process import wait_until

RELOADS = scaled(200, 1000)
WARM_UP = 60  # allocator arenas, read buffers and metrics find their size
SPARE_KIB = 8 * 1024  # a leak of one generation (about 100 KiB) a reload would take 20 MiB
SPARE_FILES = 8


def test_a_storm_of_reloads_disturbs_nothing_and_leaks_nothing(gateway, origin, certs, tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    leaves = [certs.localhost, certs.ca.leaf("localhost"), certs.ca.leaf("localhost")]

    def show(leaf):
        for target, source in ((chain, leaf.chain), (key, leaf.key)):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)

    def made(count):
        routes = [
            {"match": {"path": f"/generation/{count}/{n}"}, "reply": {"status": 200, "body": "x" * 500}}
            for n in range(50)
        ]
        result = config.basic([certs.localhost], [origin.endpoint()], tmp_path, workers=2)
        result["access_log"] = {"path": "off"}
        result["limits"] = {"requests_per_connection": 0}
        result["hosts"][0]["tls"]["certificates"] = [{"chain": str(chain), "key": str(key)}]
        result["hosts"][0]["routes"] = [*routes, {"upstream": "web"}]
        return result

    def shown():
        with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
            return int(connection.getpeercert()["serialNumber"], 16)

    def settled():
        return gw.metrics().value("sallyport_config_generations_alive") == 1

    show(leaves[0])
    gw = gateway(made(0))
    kinds = (KeptHttp1, KeptHttp1, FreshHttp1, KeptHttp2, KeptHttp2, Download, WebSocket, WebSocket)
    with Load(gw, certs, kinds) as load:
        wait_until(lambda: load.check() or load.turns() >= 2, "load", process=gw)
        for count in range(1, RELOADS + 1):
            leaf = leaves[count % len(leaves)]
            show(leaf)
            assert gw.reload(made(count)), gw.log()[-2000:]
            assert shown() == leaf.serial
            load.check()
            if count == WARM_UP:
                before_kib, before_files = gw.rss_kib(), gw.open_files()
        turns = load.turns()
        wait_until(lambda: load.check() or load.turns() >= turns + 2, "load after the reloads", process=gw)
        # Streams that began before hold the generation that they began with, and no other.
        assert gw.metrics().value("sallyport_config_generations_alive") <= len(kinds) + 1
        after_kib, after_files = gw.rss_kib(), gw.open_files()
    assert after_kib - before_kib < SPARE_KIB, (before_kib, after_kib)
    assert after_files - before_files < SPARE_FILES, (before_files, after_files)
    wait_until(settled, "one generation", process=gw)
    metrics = gw.metrics()
    assert metrics.value("sallyport_config_reloads_total", result="ok") == RELOADS
    assert metrics.value("sallyport_http_requests_total", code_class="5xx") == 0
    assert metrics.value("sallyport_connection_closed_total", by="error") == 0
