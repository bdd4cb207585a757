"""Troubles that users reported: each is found at its place, with its cause and the advice that
helps, and its healthy twin raises no alarm."""

from functools import cache

import pytest

import troubles
from depthscale import probe
from depthscale._diagnose import RULE_NAMES, Diagnosis, diagnose

pytestmark = [  # torch warns of three of the troubles itself
    pytest.mark.filterwarnings("ignore:Using a target size"),
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True"),
]
NAMES = troubles.names()


@cache
def diagnosis(name: str, twin: str) -> Diagnosis:
    model, inputs, *options = getattr(troubles.trouble(name), twin)()
    return diagnose(probe(model, inputs, **options[0] if options else {}))


def expected(name: str) -> troubles.Trouble:
    return troubles.trouble(name).EXPECT


@pytest.mark.parametrize("name", NAMES)
def test_one_finding_names_the_place_the_cause_and_what_helps(name: str) -> None:
    findings = diagnosis(name, "faulty")
    assert expected(name).findings(findings), findings


@pytest.mark.parametrize("name", NAMES)
def test_the_healthy_twin_raises_no_alarm(name: str) -> None:
    assert not expected(name).alarms(diagnosis(name, "healthy"))


@pytest.mark.parametrize("name", NAMES)
def test_the_healthy_twin_does_not_pass_for_the_trouble(name: str) -> None:
    assert not expected(name).findings(diagnosis(name, "healthy"))


def test_an_alarm_of_a_healthy_twin_is_seen() -> None:
    findings = diagnosis("softmax_twice", "faulty")
    assert [f.rule for f in expected("lora_both_zero").alarms(findings)] == ["loss-input"]
    assert [f.rule for f in expected("relu_rnn_explodes").alarms(findings)] == ["loss-input"]


@pytest.mark.parametrize("name", NAMES)
def test_a_trouble_asks_for_rules_that_exist(name: str) -> None:
    trouble = expected(name)
    assert {*trouble.rules, *trouble.allowed} <= set(RULE_NAMES)
