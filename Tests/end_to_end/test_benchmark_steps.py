"""The benchmark's table of steps: what it measures exists in the integration of this tree."""

import pytest

from Tests.benchmark import steps
from Tests.sandbox.descriptor import INTEGRATION


@pytest.fixture(scope="module")
def version() -> steps.Version:
    """The integration of this tree."""
    return steps.Version(INTEGRATION)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> steps.Version:
    """A version in which the class that makes events has another name."""
    file = tmp_path_factory.mktemp("older") / "GenericWebhook.py"
    text = INTEGRATION.read_text(encoding="utf-8")
    assert "class EventMaker:" in text
    file.write_text(text.replace("EventMaker", "IncidentMaker"), encoding="utf-8")
    return steps.Version(file)


def step_of(name: str) -> steps.Step:
    """Return the step of a name."""
    return next(step for step in steps.STEPS if step.name == name)


@pytest.mark.parametrize("step", steps.STEPS, ids=[step.name for step in steps.STEPS])
def test_each_step_runs(step: steps.Step, version: steps.Version) -> None:
    figure = steps.measure(step, version, rounds=1, turns=50)
    assert figure.microseconds > 0
    assert not figure.missing


def test_a_step_that_an_older_version_does_not_have_is_shown_as_missing(
    older: steps.Version,
) -> None:
    step = step_of("making the incident from the native format")
    figure = steps.measure(step, older, rounds=1, turns=1)
    assert figure.missing == "EventMaker"
    assert steps.line(step, [figure]) == f"does not exist (EventMaker)  {step.name}"


def test_the_other_steps_of_an_older_version_are_measured(older: steps.Version) -> None:
    figure = steps.measure(step_of("parsing the body"), older, rounds=1, turns=50)
    assert figure.microseconds > 0


def test_a_missing_step_of_this_tree_is_an_error(version: steps.Version) -> None:
    step = steps.Step("gone", lambda version: version.module.no_such_function)
    with pytest.raises(AttributeError, match="no_such_function"):
        steps.measure(step, version)


@pytest.mark.parametrize(("microseconds", "verdict"), [(2.9, "met"), (3.1, "exceeded")])
def test_a_budget_is_compared(microseconds: float, verdict: str) -> None:
    step = step_of("recognizing a known sender")
    assert steps.line(step, [steps.Figure(microseconds)]).endswith(f"(budget 3 µs: {verdict})")
