"""Pictures of gradients over time and of tried learning rates."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.diagnosis.plots import plot_gradient_flow, plot_learning_rates


def flow_of(backwards=(), **columns):
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(next(iter(columns.values()))), name="step"))
    table.attrs["backwards"] = list(backwards)
    return table


def test_a_flow_of_one_layer_compares_its_ends_on_a_logarithmic_axis():
    ax = plot_gradient_flow(flow_of(lstm=[1e-6, 1e-3, 1.0]))
    assert ax.get_title("left") == "Gradients: step 0 gets 1e-06 times what step 2 gets"
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_legend()) == ("log", "time step", None)
    assert list(ax.lines[0].get_ydata()) == [1e-6, 1e-3, 1.0]
    assert 2 <= len(ax.get_yticks()) <= 5


def test_a_flow_of_many_layers_names_the_one_whose_ends_differ_most():
    ax = plot_gradient_flow(flow_of(["back"], there=[1.0, 2.0, 4.0], back=[1.0, 10.0, 100.0]))
    assert ax.get_title("left") == "Gradients: step 2 gets 1e+02 times what step 0 gets in back"
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert [line.get_label() for line in ax.lines] == ["there", "back"]


def test_a_flow_that_ends_before_the_first_step_says_where():
    ax = plot_gradient_flow(flow_of(rnn=[0.0, 0.0, 1e-30, 1.0]))
    assert ax.get_title("left") == "Gradients: nothing reaches beyond step 2"


def test_a_flow_that_is_not_finite_says_where_it_begins():
    ax = plot_gradient_flow(flow_of(rnn=[np.inf, np.inf, 1e30, 1.0]))
    assert ax.get_title("left") == "Gradients: not finite at step 1"
    ax = plot_gradient_flow(flow_of(["rnn"], rnn=[1.0, 1e30, np.inf, np.inf]))
    assert ax.get_title("left") == "Gradients: not finite at step 2"


def test_steps_that_a_layer_does_not_have_are_no_ends():
    ax = plot_gradient_flow(flow_of(long=[1.0, 1.0, 1.0], short=[1.0, 2.0, np.nan]))
    assert ax.get_title("left") == "Gradients: step 0 gets 0.5 times what step 1 gets in short"


def test_a_flow_of_one_step_is_a_point():
    ax = plot_gradient_flow(flow_of(rnn=[1.0]))
    assert ax.get_title("left") == "Gradients: too few steps to compare"
    assert ax.lines[0].get_marker() == "o"


def test_a_flow_of_nothing_is_not_drawn():
    with pytest.raises(ValueError, match=r"holds no value above zero.*Train a few steps first"):
        plot_gradient_flow(flow_of(rnn=[0.0, np.nan, np.inf]))
    with pytest.raises(TypeError, match="`flow` must be a pandas DataFrame"):
        plot_gradient_flow([1.0, 2.0])


def range_test(smoothed, *, suggestion=float("nan")):
    rates = [10.0**power for power in range(-5, -5 + len(smoothed))]
    table = pd.DataFrame({"learning_rate": rates, "loss": smoothed, "smoothed_loss": smoothed})
    table.attrs["suggestion"] = suggestion
    return table


def test_learning_rates_are_drawn_over_a_logarithmic_axis_with_the_suggestion_marked():
    ax = plot_learning_rates(range_test([3.0, 3.0, 2.0, 1.0, 9.0], suggestion=1e-3))
    assert ax.get_xscale() == "log" and ax.get_xlim() == pytest.approx((1e-5, 1e-1))
    assert ax.get_title("left") == "Learning rate to train at: 0.001"
    assert [text.get_text() for text in ax.texts] == ["0.001"]
    assert ax.get_ylim()[1] < 5  # where it diverged is beyond the edge


def test_learning_rates_of_which_none_stands_out_are_not_marked():
    ax = plot_learning_rates(range_test([3.0, 3.0, float("inf")]))
    assert ax.get_title("left") == "No learning rate stands out" and not ax.texts


def test_learning_rates_without_a_finite_loss_are_refused():
    with pytest.raises(ValueError, match=r"`table` has no finite loss in 1 steps\. Look for values"):
        plot_learning_rates(range_test([float("nan")]))


def test_learning_rates_of_another_table_are_refused():
    with pytest.raises(ValueError, match="`table` has no column 'learning_rate'"):
        plot_learning_rates(pd.DataFrame({"loss": [1.0]}))
