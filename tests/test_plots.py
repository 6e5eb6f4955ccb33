"""Figures hold the numbers they claim to show."""

import io

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import regjax
from regjax import plots
from regjax.sweeps import Grid, MLPOptions, run_sweep

LAMBDAS = (0.0, 1e-3, 1e-2, 0.1, 1.0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12))
    return X, 2 * X[:, 0] + X[:, 1] - X[:, 2] + 3 * rng.normal(size=60)


@pytest.fixture(scope="module")
def result(data):
    return regjax.sweep(data, lambdas=LAMBDAS, seeds=3)


@pytest.fixture(scope="module")
def perceptrons(data):
    X, y = data
    mlp = MLPOptions(hidden=16, epochs=10)
    return regjax.sweep((X, y > 0), models="mlp_l1", lambdas=LAMBDAS[:3], seeds=2, mlp=mlp)


def _line(axis, label):
    return next(line for line in axis.lines if line.get_label() == label)


def test_loss_curves_show_means_over_seeds_and_both_choices(result):
    figure = plots.loss_over_lambda(result)
    assert [axis.get_title() for axis in figure.axes] == ["ridge", "lasso", "elastic net"]
    for axis, name in zip(figure.axes, result.entries, strict=True):
        rows = result.summary().filter(result.summary()["model"] == name)
        for part in ("train", "validation"):
            line = _line(axis, part)
            np.testing.assert_array_equal(line.get_xdata(), LAMBDAS[1:])
            np.testing.assert_allclose(line.get_ydata(), rows[f"{part}_loss"].to_numpy()[1:])
        assert _line(axis, "minimum").get_xdata()[0] == result.best()[name].lambda_
        strongest = result.best(rule="one_standard_error")[name].lambda_
        assert _line(axis, "one standard error").get_xdata()[0] == strongest
        shaded = {text.get_text() for text in axis.texts}
        assert shaded == set(result.verdicts(name)) - {"good"}
        assert axis.get_xscale() == "log"
        assert axis.get_xlabel()
    assert figure.axes[0].get_ylabel()


def test_coefficient_paths_show_every_coefficient(result):
    figure = plots.coefficient_paths(result)
    for axis, name in zip(figure.axes, result.entries, strict=True):
        weights = result.lane_params[name]["weights"][0, 1:]
        drawn = {line.get_label(): line.get_ydata() for line in axis.lines}
        named = [f"x{j}" for j in range(12) if f"x{j}" in drawn]
        assert len(named) == 8
        assert "x0" in named
        for label in named:
            np.testing.assert_array_equal(drawn[label], weights[:, int(label[1:])])
        paths = [line for line in axis.lines if len(line.get_xdata()) == 4]
        assert len(paths) == 12


def test_a_feature_looks_the_same_in_every_panel(result):
    figure = plots.coefficient_paths(result)
    styles = [
        {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axis.lines}
        for axis in figure.axes
    ]
    for label in (f"x{j}" for j in range(12)):
        assert len({style[label] for style in styles if label in style}) <= 1


def test_sparsity_and_condition_show_the_summary(result):
    figure = plots.sparsity_and_condition(result)
    for name, label in (("ridge", "ridge"), ("lasso", "lasso"), ("elastic_net", "elastic net")):
        rows = result.summary().filter(result.summary()["model"] == name)
        zeros = _line(figure.axes[0], label).get_ydata()
        np.testing.assert_allclose(zeros, 100 * rows["zero_share"].to_numpy()[1:])
        condition = _line(figure.axes[1], label).get_ydata()
        np.testing.assert_allclose(condition, rows["condition_number"].to_numpy()[1:])


def test_weight_distributions_count_exact_zeros(result, perceptrons):
    for outcome, l1 in ((result, "lasso"), (perceptrons, "mlp_l1")):
        figure = plots.weight_distributions(outcome)
        titles = [axis.get_title() for axis in figure.axes]
        assert titles[0] == "no penalty\n0% exact zeros"
        assert [title[:4] for title in titles[2:]] == (["L2, "] if outcome is result else [])
        choice = outcome.best()[l1].lambda_
        lane = outcome.entries[l1].lambdas.index(choice)
        params = jax.tree.map(lambda leaf, lane=lane: leaf[0, lane], outcome.lane_params[l1])
        weights = outcome.entries[l1].model.penalized_weights(params)
        share = np.mean(np.concatenate([np.ravel(w) for w in weights]) == 0)
        assert titles[1].endswith(f"\n{share:.0%} exact zeros")


def _on_boundary(figure, panel):
    axis = figure.axes[panel]
    point = next(line for line in axis.lines if str(line.get_label()).startswith("solution"))
    return np.array([point.get_xdata()[0], point.get_ydata()[0]]), axis


@pytest.mark.parametrize("flip", [1.0, -3.0])
def test_geometry_draws_the_balls_that_touch_the_actual_solutions(data, flip):
    X, y = data
    X = np.column_stack([X[:, 0], flip * (0.5 * X[:, 0] + X[:, 1])])
    y = 10 * y + 5
    figure = plots.geometry(X, y)
    # The data are shown in their own units.
    Z, z = X - X.mean(axis=0), y - y.mean()
    lambda_ = float(figure.get_suptitle().split("= ")[1])
    lasso, left = _on_boundary(figure, 0)
    ridge, right = _on_boundary(figure, 1)
    correlation = Z.T @ (z - Z @ lasso) / 60
    assert np.sum(lasso != 0) == 1  # the corner
    np.testing.assert_allclose(np.abs(correlation).max(), lambda_, rtol=1e-2)
    np.testing.assert_allclose(Z.T @ (z - Z @ ridge) / 60, lambda_ * ridge, rtol=1e-2)
    square = next(line for line in left.lines if line.get_label() == "least squares")
    shown = [square.get_xdata()[0], square.get_ydata()[0]]
    np.testing.assert_allclose(shown, np.linalg.lstsq(Z, z, rcond=None)[0])
    diamond = left.patches[0].get_xy()
    np.testing.assert_allclose(np.abs(diamond).sum(axis=1), np.abs(lasso).sum())
    circle = right.patches[0].get_xy()
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), np.linalg.norm(ridge))


def test_geometry_at_a_given_strength_keeps_both_features(data):
    X, y = data
    lasso, _ = _on_boundary(plots.geometry(X[:, :2], y, 0.01), 0)
    assert np.all(lasso != 0)


@pytest.mark.parametrize("columns", [[0], [0, 1, 2]])
def test_geometry_needs_two_features(data, columns):
    with pytest.raises(ValueError, match="two features"):
        plots.geometry(data[0][:, columns], data[1])
    with pytest.raises(ValueError, match="two features"):
        plots.geometry(np.ones((60, 2)), data[1])


def test_all_figures_are_written_and_nothing_global_is_left(
    result, perceptrons, tmp_path, monkeypatch
):
    names = {path.stem for path in plots.save_figures(result, tmp_path / "linear")}
    assert names == {
        "loss_over_lambda",
        "sparsity_and_condition",
        "weight_distributions",
        "coefficient_paths",
        "geometry",
    }
    for path in tmp_path.rglob("*.png"):
        assert path.stat().st_size > 10_000
    assert plt.get_fignums() == []
    assert isinstance(plots.loss_over_lambda(result), Figure)
    # What is drawn of other models; to write it takes seconds.
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: path.touch())
    names = {path.stem for path in plots.save_figures(perceptrons, tmp_path / "mlp")}
    assert names == {"loss_over_lambda", "sparsity_and_condition", "weight_distributions"}


def test_figures_of_what_a_sweep_lacks_are_refused(result, perceptrons):
    with pytest.raises(ValueError, match="a single learning rate: sweep several"):
        plots.loss_over_rate_and_lambda(result)
    with pytest.raises(ValueError, match="for a regression with at least two features"):
        plots.result_geometry(perceptrons)


def test_paths_need_a_linear_model(perceptrons):
    with pytest.raises(ValueError, match="linear models"):
        plots.coefficient_paths(perceptrons)


def test_a_sweep_of_lambda_zero_alone_has_nothing_to_draw(data):
    lone = regjax.sweep(data, models=["ridge"], lambdas=[0.0], seeds=1)
    with pytest.raises(ValueError, match="no strength above 0"):
        plots.loss_over_lambda(lone)


def test_names_in_figures_are_neither_mathematics_nor_control_characters():
    def train(hp, key):
        losses = hp["x"] + jax.numpy.arange(3.0)
        return {"$a_{$": losses[-1] + hp["y"], "cost$a$b\x1b[0m": losses}

    run = run_sweep(train, Grid.product(x=[1.0, 2.0], y=[3.0, 4.0]), metric="$a_{$")
    figures = [
        plots.sweep_heat_map(run, "x", "y"),
        plots.sweep_curves(run, "cost$a$b\x1b[0m"),
    ]
    assert figures[1].axes[0].get_ylabel() == r"cost\$a\$b\x1b[0m"
    for figure in figures:
        figure.savefig(io.BytesIO(), dpi=20)
