"""gRPC through the gateway: unary and both kinds of streaming, with status in trailers."""

from concurrent import futures

import grpc
import pytest
from harness import config

_RAW = {"request_deserializer": None, "response_serializer": None}


class Service(grpc.GenericRpcHandler):
    def service(self, call):
        return {
            "/t.S/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t.S/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/t.S/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/t.S/Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }.get(call.method)

    @staticmethod
    def unary(request, context):
        context.set_trailing_metadata((("x-sum", str(len(request))),))
        return request[::-1]

    @staticmethod
    def fail(_, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")

    @staticmethod
    def count(request, _):
        for i in range(int(request)):
            yield str(i).encode()

    @staticmethod
    def chat(requests, _):
        for request in requests:
            yield request.upper()


@pytest.fixture
def channel(gateway, certs, tmp_path):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = config.basic([certs.localhost], [f"127.0.0.1:{port}"], tmp_path)
    made["upstreams"]["web"]["protocol"] = "h2"
    gw = gateway(made)
    credentials = grpc.ssl_channel_credentials(certs.ca.pem.read_bytes())
    with grpc.secure_channel(f"localhost:{gw.port()}", credentials) as opened:
        yield opened
    server.stop(None).wait(10)


def test_a_unary_call_and_its_trailing_metadata(channel):
    answer, call = channel.unary_unary("/t.S/Unary").with_call(b"abc" * 50_000, timeout=20)
    assert answer == b"cba" * 50_000
    assert ("x-sum", "150000") in [(k, v) for k, v in call.trailing_metadata()]
    assert call.code() == grpc.StatusCode.OK


def test_a_status_without_a_message_arrives(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/t.S/Fail")(b"", timeout=20)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "not today"


def test_a_server_stream(channel):
    assert list(channel.unary_stream("/t.S/Count")(b"1000", timeout=30)) == [str(i).encode() for i in range(1000)]


def test_a_bidirectional_stream_answers_message_by_message(channel):
    """Each message is sent only after the answer to the one before: nothing may be held back."""
    ready = [b"first"]

    def messages():
        for _ in range(20):
            yield ready[-1]

    calls = channel.stream_stream("/t.S/Chat")(messages(), timeout=30)
    answers = []
    for answer in calls:
        answers.append(answer)
        ready.append(answer.lower() + b"x")
    assert len(answers) == 20
    assert calls.code() == grpc.StatusCode.OK
