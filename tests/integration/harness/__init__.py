"""Drives the real gateway with real peers. What a test uses comes from the fixtures of
fixtures.py (gateway, start_origin, origin, certs, refused_port) and from the modules here:

    config    a configuration to start from        clients   curl, openssl, raw TLS and TCP
    certs     a CA and any certificate of it       h2client  HTTP/2, frame by frame
    process   start, wait, signal, end             metrics   Prometheus text, by name and labels
    load      requests and open exchanges in the background
    scripted  an HTTP/1.1 origin that ends connections as told
    cloudflare  Cloudflare, as an origin sees it, and the page that its visitors see

Ports are always 0; nothing waits by the clock alone: see process.wait_until.
"""

import os


def scaled(usual, all_):
    """The size of a test: `./dev test --all` asks for the large one."""
    return all_ if os.environ.get("SALLYPORT_TEST_ALL") else usual
