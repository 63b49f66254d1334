"""A configuration to start from: every test says only what it is about."""

import copy


def basic(certificates, endpoints, folder, **changes) -> dict:
    """One https and one http listener on 127.0.0.1, host `localhost`, one upstream `web`.

    `certificates`: leafs of certs.py; `endpoints`: ["127.0.0.1:PORT"]; `folder`: where the access
    log goes. `changes` are laid over the result, see merged().
    """
    config = {
        "version": 1,
        "workers": 1,
        "timeouts": {"drain": "5s"},
        "listeners": [
            {"name": "https", "address": "127.0.0.1:0"},
            {"name": "http", "protocol": "http", "address": "127.0.0.1:0"},
        ],
        "admin": {"address": "127.0.0.1:0"},
        "access_log": {"path": str(folder / "access.jsonl"), "format": "json"},
        "hosts": [host("localhost", certificates, [{"upstream": "web"}])],
        "upstreams": {"web": {"endpoints": list(endpoints)}},
    }
    return merged(config, changes)


def host(name, certificates, routes, **more) -> dict:
    names = [name] if isinstance(name, str) else list(name)
    tls = {"certificates": [{"chain": str(leaf.chain), "key": str(leaf.key)} for leaf in certificates]}
    tls.update(more.pop("tls", {}))
    return {"names": names, "tls": tls, "routes": list(routes), **more}


def merged(config: dict, changes: dict) -> dict:
    """A copy with the changes laid over it: dicts are merged, everything else is replaced."""
    result = copy.deepcopy(config)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result
