"""Settings survive the round trip through JSON, and nothing else does."""

import json

import pytest

from duopoly.presets import PRESETS
from duopoly.runs.settings_json import from_dict, to_dict
from duopoly.settings import Settings, SettingsError, override


@pytest.mark.parametrize("name", PRESETS, ids=str)
def test_round_trip(name):
    settings = PRESETS[name].settings
    assert from_dict(json.loads(json.dumps(to_dict(settings)))) == settings


def test_absent_fields_keep_their_defaults():
    expected = override(Settings(), {"model.batch_size": 7, "model.epochs.step": 2})
    assert from_dict({"model": {"batch_size": 7, "epochs": {"step": 2}}}) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, r"unknown setting modle; did you mean 'model'\?"),
        ({"model": {"batch_sise": 3}}, r"unknown setting model.batch_sise; did you mean 'batch_s"),
        ({"model": {"batch_size": 1.7}}, r"model.batch_size = 1.7: must be a whole number"),
        ({"model": {"batch_size": "3"}}, r"model.batch_size = '3': must be a whole number"),
        ({"model": {"batch_size": True}}, r"model.batch_size = True: must be a whole number"),
        ({"model": {"batch_size": 0}}, r"model.batch_size = 0: must be at least 1"),
        ({"model": {"learning_rate": "1e-3"}}, r"model.learning_rate = '1e-3': must be a finite"),
        (
            {"model": {"learning_rate": float("nan")}},
            r"model.learning_rate = nan: must be a finite",
        ),
        (
            {"model": {"learning_rate": float("inf")}},
            r"model.learning_rate = inf: must be a finite",
        ),
        ({"model": {"hidden": 3}}, r"model.hidden = 3: must be a list, each a whole number"),
        ({"model": {"hidden": [3, 0]}}, r"model.hidden = \(3, 0\): must be at least 1"),
        ({"model": {"hidden": [3, 1.5]}}, r"model.hidden = 1.5: must be a whole number"),
        ({"model": {"activation": "rel"}}, r"must be one of relu, silu, tanh; did you mean 'relu'"),
        ({"model": {"activation": ["relu"]}}, r"model.activation = \['relu'\]: must be one of"),
        ({"policy": {"value": {"epochs": 0}}}, r"policy.value.epochs = 0: must be at least 1"),
        ({"policy": 3}, r"policy = 3: must be a group of settings"),
        ([], r"settings = \[\]: must be a group of settings"),
        ({1: 2}, r"unknown setting 1"),
        ({"model.window": 3}, r"unknown setting model.window"),
    ],
)
def test_refused_by_full_name(values, message):
    with pytest.raises(SettingsError, match=message):
        from_dict(values)
