"""The gateway starts, serves over both protocols and ends cleanly."""

import json

from harness import config
from harness.clients import curl, tls, tls_context
from harness.h2client import H2Client


def test_a_request_goes_through_over_http1_and_h2(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    for version, shown in (("1.1", "HTTP/1.1"), ("2", "HTTP/2")):
        response = curl(gw.url("/echo?x=1"), http=version, cacert=certs.ca.pem, data=b"hello")
        assert (response.exit_code, response.status, response.version) == (0, 200, shown), response.error
        seen = json.loads(response.body)
        assert (seen["method"], seen["target"]) == ("POST", "/echo?x=1")
        assert seen["body"]["bytes"] == 5


def test_a_library_that_is_not_ours_speaks_h2_with_it(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    with tls(gw.port(), tls_context(certs.ca.pem)) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        response = H2Client(connection).get("/trailers")
    assert response.status == 200
    assert response.body == b"a body with trailers\n"
    assert ("x-checksum", "abc123") in response.trailers


def test_health_and_readiness_are_told(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    assert gw.admin("/healthz")[0] == 200
    assert gw.admin("/readyz")[0] == 200


def test_a_request_shows_in_the_access_log_and_the_metrics(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    assert curl(gw.url("/echo"), cacert=certs.ca.pem).status == 200
    gw.wait_metric("sallyport_http_requests_total", 1)
    assert gw.wait_access(1)


def test_sigterm_ends_it_with_status_0(gateway, origin, certs, tmp_path):
    gw = gateway(config.basic([certs.localhost], [origin.endpoint()], tmp_path))
    gw.stop()
