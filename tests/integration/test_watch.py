# labels: multiworker
"""With `watch`, whatever the files hold is served soon after, without a signal: however they were
written, a pair only whole, a mistake never, and what says the same is not taken for a change."""

import os
import shutil
import ssl
import threading

import pytest
from harness import config
from harness.clients import curl, tls, tls_context
from harness.process import wait_until

RELOADS = "sallyport_config_reloads_total"


def copy(source, target) -> None:
    """In place, as cp does: the file is never another one."""
    target.write_bytes(source.read_bytes())


def move(source, target) -> None:
    """A new file takes the old one's place, as certbot and every careful writer do."""
    fresh = target.with_name(target.name + ".new")
    shutil.copy(source, fresh)
    fresh.rename(target)


class Site:
    """A gateway that watches, whose certificate is at paths of the test's own."""

    def __init__(self, start, certs, origin, folder, watch=None, paths=("chain.pem", "key.pem"), prepare=None):
        self.certs, self.folder = certs, folder / "certs"
        self.folder.mkdir()
        self.chain, self.key = (self.folder / path for path in paths)
        self.leaf = certs.localhost
        if prepare:
            prepare(self.folder, self.leaf)
        else:
            move(self.leaf.chain, self.chain)
            move(self.leaf.key, self.key)
        made = config.basic([certs.localhost], [origin.endpoint()], folder, workers=2,
                            watch={"enabled": True, "settle": "200ms", "poll": "1h", **(watch or {})})  # fmt: skip
        made["hosts"][0]["tls"]["certificates"] = [{"chain": str(self.chain), "key": str(self.key)}]
        self.made = made
        self.gw = start(made)
        self.context = tls_context(certs.ca.pem)

    def fresh(self):
        self.leaf = self.certs.ca.leaf("localhost", "127.0.0.1")
        return self.leaf

    def serial(self) -> int:
        with tls(self.gw.port(), self.context) as connection:
            return int(connection.getpeercert()["serialNumber"], 16)

    def wait_shown(self, leaf=None) -> None:
        leaf = leaf or self.leaf
        wait_until(lambda: self.serial() == leaf.serial, "the new certificate", process=self.gw)

    def reloads(self, **labels) -> float:
        return self.gw.metrics().value(RELOADS, **labels)

    def wait_reloads(self, count: float, **labels) -> None:
        self.gw.wait_metric(RELOADS, count, **labels)

    def probe(self) -> None:
        """A change that is seen for sure, after all that was written before it."""
        before = self.reloads(result="ok")
        move(self.leaf.chain, self.chain)  # the same bytes: no change at all
        self.fresh()
        move(self.leaf.key, self.key)
        move(self.leaf.chain, self.chain)
        self.wait_shown()
        self.wait_reloads(before + 1, result="ok")
        assert self.reloads(result="ok") == before + 1


@pytest.fixture
def site(gateway, certs, origin, tmp_path):
    return lambda **more: Site(gateway, certs, origin, tmp_path, **more)


# ---- pairs ----


def test_a_pair_is_taken_once_it_is_whole_however_it_is_written(site):
    here = site()
    count = 0
    for write in (move, copy):
        for order in ("chain", "key"), ("key", "chain"):
            leaf = here.fresh()
            for i, part in enumerate(order):
                at = len(here.gw.log())
                before = here.serial()
                write(getattr(leaf, part), getattr(here, part))
                if i == 0:  # half of it, for longer than it takes to settle
                    here.gw.wait_log(r"info reload_waits .*does not belong", after=at)
                    assert here.serial() == before
            here.wait_shown()
            count += 1
            here.wait_reloads(count, trigger="watch", result="ok")
    assert here.reloads() == count and here.reloads(result="rejected") == 0
    assert "reload_rejected" not in here.gw.log()


def test_a_file_that_is_written_in_pieces_or_is_gone_for_a_moment(site):
    here = site()
    leaf = here.fresh()
    whole = leaf.chain.read_bytes()
    at = len(here.gw.log())
    copy(leaf.key, here.key)
    here.chain.write_bytes(whole[: len(whole) // 2])
    here.gw.wait_log(r"reload_waits .*(damaged or cut short)", after=at)
    here.chain.write_bytes(whole)
    here.wait_shown()

    leaf = here.fresh()
    at = len(here.gw.log())
    here.chain.unlink()
    here.gw.wait_log(r"reload_waits .*chain\.pem.*No such file", after=at)
    copy(leaf.key, here.key)
    here.chain.write_bytes(leaf.chain.read_bytes())
    here.wait_shown()

    leaf = here.fresh()
    with open(here.chain, "wb") as file:
        file.flush()  # empty
        copy(leaf.key, here.key)
        here.gw.wait_log(r"reload_waits .*(no certificate|is empty|chain\.pem)", after=at)
        file.write(leaf.chain.read_bytes())
    here.wait_shown()
    assert here.reloads(result="rejected") == 0


def test_what_does_not_become_right_is_rejected_once_and_then_taken_when_repaired(site):
    here = site()
    old = here.leaf
    leaf = here.fresh()
    copy(leaf.key, here.key)
    here.wait_reloads(1, trigger="watch", result="rejected")
    assert here.gw.log().count("reload_rejected") == 1 and "key.pem" in here.gw.log()
    assert here.gw.metrics().value("sallyport_config_last_reload_successful") == 0
    assert here.serial() == old.serial
    copy(leaf.chain, here.chain)
    here.wait_shown()
    assert here.reloads(result="rejected") == 1
    assert here.gw.metrics().value("sallyport_config_last_reload_successful") == 1


def test_what_says_the_same_is_no_change(site):
    here = site()
    for _ in range(3):
        os.utime(here.chain)
        move(here.leaf.key, here.key)
        copy(here.leaf.chain, here.chain)
    here.gw.write_config(here.made)
    (here.folder / "another.pem").write_text("of no concern")
    here.probe()
    assert here.reloads() == 1


# ---- as Kubernetes does ----


def volume(folder, number: int, leaf) -> None:
    """A secret's volume: tls.crt → ..data/tls.crt, ..data → a directory; the swap renames ..data."""
    versioned = folder / f"..2026_{number}"
    versioned.mkdir()
    shutil.copy(leaf.chain, versioned / "tls.crt")
    shutil.copy(leaf.key, versioned / "tls.key")
    before = os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    (folder / "..data_tmp").symlink_to(versioned.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if before:
        shutil.rmtree(folder / before)


def mounted(site):
    return site(paths=("tls.crt", "tls.key"), prepare=lambda folder, leaf: volume(folder, 0, leaf))


def test_a_kubernetes_secret_that_is_swapped(site):
    here = mounted(site)
    for number in range(1, 4):
        volume(here.folder, number, here.fresh())
        here.wait_shown()
        here.wait_reloads(number, trigger="watch", result="ok")
    assert here.reloads() == 3 and "reload_waits" not in here.gw.log()


def test_swaps_under_handshakes_each_of_which_has_one_whole_pair(site):
    here = mounted(site)
    known, failures, stop = {here.leaf.serial}, [], threading.Event()

    def shake():
        while not stop.is_set():
            try:
                if here.serial() not in known:
                    failures.append("an unknown certificate")
            except (ssl.SSLError, OSError) as failure:
                failures.append(failure)

    threads = [threading.Thread(target=shake) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 25):
            leaf = here.fresh()
            known.add(leaf.serial)
            volume(here.folder, number, leaf)
            if number % 6 == 0:
                here.wait_shown()
        here.wait_shown()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]
    assert here.reloads(result="rejected") == 0


# ---- the configuration ----


def replying(here, text) -> dict:
    return config.merged(here.made, {"hosts": [{**here.made["hosts"][0],
                                                "routes": [{"reply": {"status": 200, "body": text}}]}]})  # fmt: skip


def ask(here) -> bytes:
    return curl(here.gw.url("/"), cacert=here.certs.ca.pem).body


def test_the_configuration_itself_broken_repaired_and_with_other_files(site):
    here = site()
    here.gw.write_config(replying(here, "one"))
    wait_until(lambda: ask(here) == b"one", "the new configuration", process=here.gw)

    at = len(here.gw.log())
    here.gw.write_config("version: 1\nlisteners: [")
    here.gw.wait_log(r"reload_waits .*gateway\.yaml:\d+:\d+", after=at)
    here.gw.wait_log(r"reload_rejected .*gateway\.yaml:\d+:\d+", after=at)
    assert ask(here) == b"one"

    # It names a pair that is not there yet; when that comes, nobody has to touch the file again.
    here.chain, here.key = here.folder / "new" / "chain.pem", here.folder / "new" / "key.pem"
    here.made["hosts"][0]["tls"]["certificates"] = [{"chain": str(here.chain), "key": str(here.key)}]
    at = len(here.gw.log())
    here.gw.write_config(replying(here, "two"))
    here.gw.wait_log(r"reload_rejected .*new/chain\.pem", after=at)
    leaf = here.fresh()
    here.chain.parent.mkdir()
    move(leaf.chain, here.chain)
    move(leaf.key, here.key)
    here.wait_shown()
    assert ask(here) == b"two"

    # What it named before is of no concern any longer.
    before = here.reloads()
    (here.folder / "chain.pem").write_text("anything")
    here.probe()
    assert here.reloads() == before + 1


def test_off_nothing_happens_and_it_is_turned_on_and_off_by_a_signal(site):
    here = site(watch={"enabled": False})
    old = here.leaf
    leaf = here.fresh()
    copy(leaf.key, here.key)
    copy(leaf.chain, here.chain)
    assert here.serial() == old.serial and here.reloads() == 0
    here.made["watch"]["enabled"] = True
    assert here.gw.reload(here.made)
    here.wait_shown()
    here.probe()
    here.made["watch"]["enabled"] = False
    assert here.gw.reload(here.made)
    before, old = here.reloads(), here.leaf
    here.fresh()
    copy(here.leaf.key, here.key)
    copy(here.leaf.chain, here.chain)
    assert here.gw.reload()  # by the signal alone
    assert here.reloads() == before + 1 and here.serial() == here.leaf.serial != old.serial
    assert here.reloads(trigger="watch") == 1


# ---- where the kernel does not tell ----


def test_without_inotify_the_files_are_polled(binary, certs, origin, tmp_path):
    """A user namespace of the test's own, in which nobody may have a watch."""
    from harness.gateway import Gateway

    script = tmp_path / "without-inotify"
    script.write_text("#!/bin/sh\necho 0 > /proc/sys/user/max_inotify_instances\n"
                      f'exec {binary} "$@"\n')  # fmt: skip
    script.chmod(0o755)

    started = []

    class Unshared(Gateway):
        def __init__(self, folder, made):
            self.config_file = folder / "gateway.yaml"
            self.write_config(made)
            super(Gateway, self).__init__("gateway", ["unshare", "--user", "--map-root-user", script, "run", "-c",
                                                      self.config_file], folder)  # fmt: skip

    def start(made):
        started.append(Unshared(tmp_path, made))
        return started[0].wait_ready()

    try:
        here = Site(start, certs, origin, tmp_path, watch={"poll": "200ms"})
        here.gw.wait_log(r"warn watch_polls error=\"Too many open files\".*max_user_instances")
        for write in (move, copy):
            leaf = here.fresh()
            write(leaf.key, here.key)
            write(leaf.chain, here.chain)
            here.wait_shown()
        assert here.gw.log().count("watch_polls") == 1
        assert here.reloads(trigger="watch", result="ok") == 2
    finally:
        for process in started:
            process.stop()
