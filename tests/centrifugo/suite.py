"""Run the tests that Centrifugo's Python client ships, against a server that is there. Knows nothing of Tidewire.

To be run by that client's own environment, in its unpacked source distribution: ``suite.py <origin> <websocket url>``.
Of the tests nothing is changed but where the server is; and what is tried by JSON and by protobuf is tried by JSON.
The last line is JSON: how many ran, and what failed, by test.
"""

import json
import signal
import sys
import types
import unittest
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

_ENDPOINT: Final = '"ws://localhost:8000/connection/websocket"'
_BOTH: Final = "for use_protobuf in (False, True):"
_TEST_TIMEOUT_S: Final = 60  # they wait without an end


if TYPE_CHECKING:
    _TextTestResult = unittest.TextTestResult[Any]
else:
    _TextTestResult = unittest.TextTestResult


class Result(_TextTestResult):
    """Gives each test its time."""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        signal.alarm(_TEST_TIMEOUT_S)

    def stopTest(self, test: unittest.TestCase) -> None:
        signal.alarm(0)
        super().stopTest(test)


def _late(*_: Any) -> None:
    raise TimeoutError(f"the test took longer than {_TEST_TIMEOUT_S} s")


def load(origin: str, websocket_url: str) -> types.ModuleType:
    """Return the module with the tests."""
    sys.path.insert(0, str(Path.cwd()))
    import_module("tests.centrifugo").__dict__["CENTRIFUGO_HTTP_URL"] = origin  # theirs, not the folder of this file
    source = Path("tests/test_client.py").read_text(encoding="utf-8")
    for wanted in (_ENDPOINT, _BOTH):
        if wanted not in source:
            raise ValueError(f"tests/test_client.py is another one: it has no {wanted}")
    source = source.replace(_ENDPOINT, json.dumps(websocket_url)).replace(_BOTH, "for use_protobuf in (False,):")
    module = types.ModuleType("tests.test_client")
    sys.modules[module.__name__] = module
    exec(compile(source, "tests/test_client.py", "exec"), module.__dict__)
    return module


def main() -> None:
    """Run it, or the tests that the further arguments name."""
    origin, websocket_url, *names = sys.argv[1:]
    signal.signal(signal.SIGALRM, _late)
    module = load(origin, websocket_url)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
    failed = {test.id(): text for test, text in [*result.failures, *result.errors]}
    sys.stdout.write(json.dumps({"run": result.testsRun, "failed": failed, "skipped": len(result.skipped)}) + "\n")


if __name__ == "__main__":
    main()
