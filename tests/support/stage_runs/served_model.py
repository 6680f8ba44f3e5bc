"""The service of a model on a free port of this machine, in a thread of the test's process."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from feature_atlas.etl.commands.serve_model import server_of
from feature_atlas.etl.own_prompt.model_service import ModelService


@contextmanager
def served(service: ModelService) -> Iterator[str]:
    """Its address while it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(service)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
