"""What PyPI's tensorboard reads in a folder of event files: a line of JSON for each line of standard input."""

import json
import sys

from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

everything = {"tensors": 0}
accumulator = EventAccumulator(sys.argv[1], size_guidance=everything)


def plain(value):
    """Numbers that JSON has no word for are texts, as in flashmob's files."""
    if value != value:
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


def of(plugin, value_of):
    """The values of all tags that a plugin shows: their steps, and what value_of makes of them."""
    return {
        tag: [[event.step, value_of(tensor_util.make_ndarray(event.tensor_proto))] for event in accumulator.Tensors(tag)]
        for tag in accumulator.PluginTagToContent(plugin)
    }


def hyperparameters():
    """The values of the session's start."""
    contents = accumulator.PluginTagToContent("hparams")
    data = plugin_data_pb2.HParamsPluginData.FromString(contents["_hparams_/session_start_info"])
    values = data.session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


for _ in sys.stdin:
    accumulator.Reload()
    found = {
        "scalars": of("scalars", lambda array: plain(array.item())),
        "texts": of("text", lambda array: array.item().decode()),
        "hyperparameters": hyperparameters(),
    }
    print(json.dumps(found), flush=True)
