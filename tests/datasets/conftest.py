"""A cache folder of the test's own, and a publisher that runs on this machine."""

import hashlib
import http.server
import threading
from functools import partial

import pytest

from rnn_toolkit.datasets import downloads


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Use an empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RNN_TOOLKIT_DATA", str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """Point every address at a port where nobody listens."""
    for name, source in downloads.SOURCES.items():
        monkeypatch.setitem(downloads.SOURCES, name, source._replace(url=f"http://127.0.0.1:9/{name}"))


@pytest.fixture
def expect(monkeypatch):
    """Change what is known of a source, such as `sha256`."""

    def expect(name, **known):
        monkeypatch.setitem(downloads.SOURCES, name, downloads.SOURCES[name]._replace(**known))

    return expect


@pytest.fixture
def cached(cache, no_network, expect):
    """Lay a file, or a dict of files, into the cache, as if these were the published ones."""

    def lay(name, content):
        path = cache / downloads.SOURCES[name].path
        files = content if isinstance(content, dict) else {"": content}
        for file, text in files.items():
            put(path / file if file else path, text)
        joined = "".join(files[file] for file in sorted(files))
        expect(name, sha256=(hashlib.sha256(joined.encode()).hexdigest(),), num_files=len(files))

    return lay


@pytest.fixture
def publish(tmp_path, expect):
    """Serve a file in place of the publisher's, and return the list of requests."""
    folder = tmp_path / "published"
    folder.mkdir()
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requested.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def serve(name, content, **known):
        if content is not None:
            (folder / name).write_bytes(content)
        expect(name, url=f"http://127.0.0.1:{server.server_port}/{name}", **known)
        return requested

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()
