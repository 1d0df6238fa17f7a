from __future__ import annotations

import pytest
import torch

from vlm3r.training.meters import LossMeter, mean_losses, merge_states


def batch(tasks, rows, weights):
    return {"tasks": tasks, "rows": torch.tensor(rows), "weights": torch.tensor(weights)}


def test_means_weigh_questions_equally_however_many_tokens_they_have():
    meter = LossMeter(torch.device("cpu"))
    meter.add(batch(["a", "b"], [0, 0, 1], [0.5, 0.5, 1.0]), torch.tensor([1.0, 3.0, 5.0]))
    meter.add(batch(["a"], [0], [1.0]), torch.tensor([4.0]))
    loss, tasks = mean_losses(meter.state())
    assert tasks == pytest.approx({"a": 3.0, "b": 5.0})
    assert loss == pytest.approx(11 / 3)


def test_states_of_several_processes_add_up_though_they_met_tasks_in_another_order():
    meters = [LossMeter(torch.device("cpu")) for _ in range(2)]
    meters[0].add(batch(["a", "b"], [0, 1], [1.0, 1.0]), torch.tensor([1.0, 2.0]))
    meters[1].add(batch(["b", "c"], [0, 1], [1.0, 1.0]), torch.tensor([4.0, 8.0]))
    assert mean_losses(merge_states(meter.state() for meter in meters)) == (3.75, {"a": 1.0, "b": 3.0, "c": 8.0})


def test_a_restored_meter_goes_on_from_the_same_sums():
    first, second = LossMeter(torch.device("cpu")), LossMeter(torch.device("cpu"))
    first.add(batch(["a"], [0], [1.0]), torch.tensor([0.1]))
    second.restore(first.state())
    for meter in (first, second):
        meter.add(batch(["b", "a"], [0, 1], [1.0, 1.0]), torch.tensor([0.7, 0.2]))
    assert first.state() == second.state()


def test_without_questions_there_is_no_loss():
    assert mean_losses(LossMeter(torch.device("cpu")).state()) == (None, {})
