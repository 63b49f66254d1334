"""Path confusion: the same place written so that a rule of the gateway does not see it and the
origin does. Everything that decides about a path, and the origin, get to see its normal form, over
HTTP/1.1 and HTTP/2 alike; a spelling that recipients read differently is refused."""

import pytest
from arena import LOCAL_REPLIES
from harness.h2client import H2Client


def configure(made):
    made["hosts"][0]["routes"] = [
        {"match": {"path": "/reply"}, "reply": {"status": 200, "body": "calm"}},
        {"match": {"path_prefix": "/admin"}, "reply": {"status": 403, "body": "no"}},
        {"match": {"path_prefix": "/old/"}, "upstream": "web", "rewrite": {"prefix": "/new/"}},
        {"match": {"path_prefix": "/h2/"}, "upstream": "h2"},
        {"match": {"path": "/set"}, "upstream": "web", "request_headers": {"set": {"x-user": "gateway"}}},
        {"upstream": "web"},
    ]
    strict = {"dot_segments": "reject", "escaped_slashes": "reject", "repeated_slashes": "reject"}
    made["listeners"] += [
        {"name": "strict", "protocol": "http", "address": "127.0.0.1:0", "paths": strict, "underscores": "reject"},
        {"name": "merging", "protocol": "http", "address": "127.0.0.1:0", "underscores": "keep",
         "paths": {"escaped_slashes": "decode", "repeated_slashes": "merge"}},
        {"name": "raw", "protocol": "http", "address": "127.0.0.1:0",
         "paths": {"dot_segments": "keep", "escapes": "keep"}},
    ]  # fmt: skip


def over_h1(arena, path: str, listener: str, fields=()):
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return arena.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode(), answers=1,
                     listener=listener).answers[0]  # fmt: skip


def over_h2(arena, path: str, listener: str, fields=()):
    with arena.connect(listener) as connection:
        return H2Client(connection).get(path, scheme="http", headers=fields)


CLIENTS = {"h1": over_h1, "h2": over_h2}

# Asked for, what the origin of "/" gets, or the status that the gateway gives.
DEFAULT = [
    ("/a/b?x=/../%zz%00", "/a/b?x=/../%zz%00"),
    ("/a/../b", "/b"),
    ("/a/%2e%2e/b?q", "/b?q"),
    ("/a/./%2E/b", "/a/b"),
    ("/../../b", "/b"),
    ("/%7euser/%c3%a4", "/~user/%C3%A4"),
    ("/a//b", "/a//b"),
    ("/@scope%2fname", "/@scope%2Fname"),
    ("/a\\b", "/a%5Cb"),
    ("/100%2525", "/100%2525"),
    ("/old/../old/x", "/new/x"),
    ("/%6fld/x", "/new/x"),
    ("/old/%2e%2e/x", "/x"),
    ("/admin", 403),
    ("/x/../admin", 403),
    ("/%61dmin/x", 403),
    ("/x/%2e%2e/%61%64%6D%69n", 403),
    ("/x/..%2fadmin", 400),
    ("/x%2f..%2fadmin", 400),
    ("/x/..%5cadmin", 400),
    ("/x\\..\\admin", 400),
    ("/x/%252e%252e/admin", 400),
    ("/x/%252e%252e%252fadmin", 400),
    ("/x/..;/admin", 400),
    ("/x/..;a=b/admin", 400),
    ("/a%00", 400),
    ("/a%", 400),
    ("/a%4", 400),
    ("/a%zz", 400),
]
OTHERS = {
    "strict": [("/a/b", "/a/b"), ("/a/../b", 400), ("/a/%2e/b", 400), ("/a%2fb", 400), ("/a%5cb", 400), ("/a\\b", 400),
               ("//a", 400)],
    "merging": [("//a///b", "/a/b"), ("/a%2fb", "/a/b"), ("/x%2f..%2fadmin", 403), ("//admin", 403), ("/x\\..\\admin", 403)],
    "raw": [("/a/../b", "/a/../b"), ("/%61/%2e%2e", "/%61/%2e%2e"), ("/a%00", 400), ("/a%4", 400)],
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("listener", ["http", *OTHERS])
def test_routing_and_the_origin_see_the_same_path(arena, client, listener):
    for path, expected in OTHERS.get(listener, DEFAULT):
        arena.forget()
        refused = arena.counter(LOCAL_REPLIES, code="400", reason="bad_path")
        answer = CLIENTS[client](arena, path, listener)
        seen = [request.target for request in arena.reached()]
        if isinstance(expected, str):
            assert (answer.status, seen) == (200, [expected]), path
        else:
            assert (answer.status, seen) == (expected, []), path
        count = arena.counter(LOCAL_REPLIES, code="400", reason="bad_path") - refused
        assert count == (1 if expected == 400 else 0), path


def test_the_origin_over_h2_sees_the_normal_form_too(arena):
    for client in CLIENTS.values():
        arena.forget()
        assert client(arena, "/x/../h2/%61", "http").status == 200
        assert [request.target for request in arena.reached()] == ["/h2/a"]


def test_the_access_log_keeps_what_was_asked(arena):
    over_h1(arena, "/logged/../%61%6csewhere", "http")
    arena.gateway.wait_access(target="/logged/../%61%6csewhere")


# ---- names that a CGI could take for ours --------------------------------------------------------

COLLIDING = ["X_Forwarded_For", "x_forwarded-proto", "X-Forwarded_Host", "X_Real_IP", "Content_Length",
             "Transfer_Encoding", "X_Request_Id", "CF_Connecting_IP", "X_User"]  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_underscores_do_not_pass_for_dashes(arena, client):
    """WSGI, CGI, Rack and PHP make one variable of X_Forwarded_For and X-Forwarded-For."""
    for name in COLLIDING:
        arena.forget()
        fields = [(name.lower() if client == "h2" else name, "1")]
        assert CLIENTS[client](arena, "/set", "http", fields).status == 200
        with arena.moved(LOCAL_REPLIES, code="400", reason="bad_field"):
            assert CLIENTS[client](arena, "/set", "strict", fields).status == 400
        (seen,) = arena.reached()
        assert not [key for key, _ in seen.fields if "_" in key], seen
        assert seen.all("x-user") == ["gateway"]
        assert CLIENTS[client](arena, "/set", "merging", fields).status == 200
        assert [key for key, _ in arena.reached()[-1].fields if "_" in key] == [name.lower()], "kept by rule"


def test_other_names_may_have_underscores(arena):
    for client in CLIENTS.values():
        arena.forget()
        assert client(arena, "/a", "http", [("my_field", "1"), ("_", "2")]).status == 200
        (seen,) = arena.reached()
        assert (seen.all("my_field"), seen.all("_")) == (["1"], ["2"])


def test_a_path_cannot_make_the_gateway_work(arena):
    """Escapes within escapes, and dots upon dots: the work is linear in the bytes."""
    for what, path in (("nested escapes", "/" + "%25" * 2600), ("dots", "/a/.." * 1300), ("steps up", "/x" * 2000 + "/.." * 1300)):
        with arena.cost(what, 1.0):
            for _ in range(20):
                assert over_h1(arena, path, "http").status == 200
