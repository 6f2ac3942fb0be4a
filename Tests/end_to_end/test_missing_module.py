"""An image that lacks a module: the operator reads a sentence, not a traceback."""

from pathlib import Path

import pytest
import yaml

from Tests.end_to_end.sender import await_that
from Tests.sandbox import Sandbox
from Tests.sandbox.descriptor import INTEGRATION

IMAGE = yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["script"]["dockerimage"]


@pytest.mark.parametrize("module", ["bottle", "gevent"])
def test_a_missing_module_is_a_sentence_in_the_health_and_in_test(
    tmp_path: Path, module: str
) -> None:
    Path(tmp_path, f"{module}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{module}'\", name={module!r})\n"
    )
    with Sandbox(env={"PYTHONPATH": str(tmp_path)}, wait=0) as sandbox:
        await_that(lambda: sandbox.health)
        assert (
            f"cannot run in this instance's Docker image: No module named '{module}'."
            in sandbox.health
        )
        assert f"Choose {IMAGE}, or another image" in sandbox.health
        results = str(sandbox.run("test-module"))
        assert f"cannot run in this instance's Docker image: No module named '{module}'." in results
        assert not sandbox.protocol_errors
        sandbox.break_pipe()
        assert sandbox.wait_exit(5) == 1  # the platform starts it again
