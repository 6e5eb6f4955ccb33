"""Figures of a path and its cross-validation hold the numbers they claim to show."""

import dataclasses
import pathlib
import re
import runpy

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from regjax import plots
from regjax.paths import (
    Path,
    elastic_net_cv,
    elastic_net_path,
    lasso_cv,
    lasso_path,
    ridge_cv,
    ridge_path,
)

ROOT = pathlib.Path(__file__).parents[1]
NAMES = tuple("abcdefghijkl")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12)) * np.linspace(1, 4, 12)
    y = 2 * X[:, 0] - X[:, 1] + 0.5 * X[:, 2] + X[:, 7:].sum(axis=1) / 9
    return X, y + rng.normal(size=60)


@pytest.fixture(scope="module")
def cv(data):
    return elastic_net_cv(*data, l1_ratio=[0.3, 0.9, 0.6], folds=4, n_lambdas=30)


def curves(axis):
    """Return the coefficients and errors drawn, by the label of their line."""
    named = {line.get_label(): line for line in axis.lines}
    return {label: line for label, line in named.items() if not str(label).startswith("_")}


def verticals(axis):
    return [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [0, 1]]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def counts(axis):
    (above,) = axis.child_axes
    ticks = zip(above.get_xticks(), above.get_xticklabels(), strict=True)
    return above, {float(x): int(label.get_text()) for x, label in ticks}


def overlapping(boxes):
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# --- paths ---


def test_every_coefficient_is_drawn_over_its_lambda(data):
    path = lasso_path(*data, n_lambdas=40)
    (axis,) = plots.plot_path(path, feature_names=NAMES, n_labels=12).axes
    drawn = curves(axis)
    assert set(drawn) == set(NAMES)
    for name, coef in zip(NAMES, path.coef.T, strict=True):
        np.testing.assert_array_equal(drawn[name].get_xdata(), path.lambdas)
        np.testing.assert_array_equal(drawn[name].get_ydata(), coef)
    assert axis.get_xscale() == "log"
    low, high = axis.get_xlim()
    assert low < path.lambdas[-1] < path.lambdas[0] < high
    assert axis.get_xlabel() == "strength $\\lambda$"
    assert axis.get_ylabel() == "coefficient (units of the data)"


def test_the_largest_on_the_path_are_named_and_the_rest_is_grey(data):
    path = lasso_path(*data, n_lambdas=40)
    (axis,) = plots.plot_path(path, n_labels=5).axes
    largest = np.argsort(-np.abs(path.coef).max(axis=0))
    assert set(curves(axis)) == set(texts(axis)) == {f"x{j}" for j in largest[:5]}
    (grey,) = [part for part in axis.collections if isinstance(part, LineCollection)]
    for segment, j in zip(grey.get_segments(), largest[5:], strict=True):
        np.testing.assert_array_equal(segment, np.column_stack([path.lambdas, path.coef[:, j]]))
    assert "5 largest" in counts(axis)[0].get_xlabel()
    (bare,) = plots.plot_path(path, n_labels=0).axes
    assert texts(bare) == []
    assert len(bare.collections[0].get_segments()) == 12


def test_what_is_always_zero_is_not_drawn(data):
    path = lasso_path(*data, n_lambdas=6, lambda_min_ratio=0.5)
    alive = np.flatnonzero(path.coef.any(axis=0))
    assert 0 < len(alive) < 12
    (axis,) = plots.plot_path(path, n_labels=12).axes
    assert set(curves(axis)) == {f"x{j}" for j in alive}


def test_coefficients_per_standard_deviation(data):
    X, y = data
    path, scale = ridge_path(X, y, n_lambdas=10), X.std(axis=0)
    (axis,) = plots.plot_path(path, scale=scale, n_labels=3).axes
    per_deviation = path.coef * scale
    largest = np.argsort(-np.abs(per_deviation).max(axis=0))[:3]
    assert set(curves(axis)) == {f"x{j}" for j in largest}
    for j in largest:
        np.testing.assert_array_equal(curves(axis)[f"x{j}"].get_ydata(), per_deviation[:, j])
    assert axis.get_ylabel() == "coefficient per standard deviation"


def test_numbers_above_count_the_coefficients_that_are_not_zero(data, cv):
    path = lasso_path(*data, n_lambdas=50)
    for figure, shown in (
        (plots.plot_path(path), path),
        (plots.plot_cross_validation(cv), cv.path),
    ):
        _, found = counts(figure.axes[0])
        assert {shown.lambdas[0], shown.lambdas[-1]} <= set(found)
        assert len(found) == 8
        for lambda_, count in found.items():
            assert count == np.sum(shown.coef[shown.lambdas == lambda_] != 0)


def test_numbers_above_keep_apart_on_an_uneven_grid(data):
    path = lasso_path(*data, lambdas=[1.0, 0.99, 0.98, 0.97, 0.1, 0.01])
    figure = plots.plot_path(path)
    above, found = counts(figure.axes[0])
    assert set(found) == {0.97, 0.1, 0.01}
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in above.get_xticklabels()]
    assert not overlapping(boxes)


def test_names_stand_in_order_beside_the_ends_and_apart(data):
    path = ridge_path(*data, lambdas=np.geomspace(1e4, 1e3, 5))
    names = [f"a long name of the feature number {j} ($)" for j in range(12)]
    figure = plots.plot_path(path, feature_names=names, n_labels=12)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    order = np.argsort(path.coef[-1])
    assert [label.xy[1] for label in axis.texts] == path.coef[-1, order].tolist()
    assert all(label.xy[0] == path.lambdas[-1] for label in axis.texts)
    # An annotation's own extent would include the line to the end of the curve.
    boxes = [Text.get_window_extent(label) for label in axis.texts]
    assert not overlapping(boxes)
    assert boxes == sorted(boxes, key=lambda box: box.y0)
    assert axis.bbox.y0 <= boxes[0].y0
    assert boxes[-1].y1 <= axis.bbox.y1
    for label, box in zip(axis.texts, boxes, strict=True):
        assert len(label.get_text()) <= 26
        assert label.get_text().endswith(r"(\$)")
        assert axis.spines["left"].get_window_extent().x1 < box.x0
        assert box.x1 <= axis.bbox.x0 + 1


def test_an_axis_that_is_low_gets_fewer_names(data):
    figure = Figure(figsize=(4, 1.6), layout="constrained")
    axis = figure.subplots()
    assert plots.plot_path(ridge_path(*data, n_lambdas=5), n_labels=12, axis=axis) is figure
    figure.draw_without_rendering()
    assert 0 < len(axis.texts) < 12
    assert not overlapping([Text.get_window_extent(label) for label in axis.texts])


def test_names_come_from_the_path_unless_given(data):
    path = dataclasses.replace(lasso_path(*data, n_lambdas=5), feature_names=NAMES)
    assert set(texts(plots.plot_path(path, n_labels=12).axes[0])) == set(NAMES)
    other = [f"_{name}" for name in NAMES]
    assert set(texts(plots.plot_path(path, n_labels=12, feature_names=other).axes[0])) == set(other)


def test_lambda_zero_stands_left_of_a_break(data):
    path = ridge_path(*data, lambdas=[10.0, 1.0, 0.1, 0.0])
    (axis,) = plots.plot_path(path, n_labels=12, marks={"least squares": 0.0}).axes
    x = curves(axis)["x0"].get_xdata()
    np.testing.assert_array_equal(x[:3], path.lambdas[:3])
    assert axis.get_xlim()[0] < x[3] < 0.1
    np.testing.assert_array_equal(curves(axis)["x0"].get_ydata(), path.coef[:, 0])
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert axis.get_xticks()[labels.index("0")] == x[3]
    # No tick claims a strength in the gap.
    assert sorted([*axis.get_xticks(), *axis.get_xticks(minor=True)])[:2] == [x[3], 0.1]
    assert "//" in texts(axis)
    assert verticals(axis) == [x[3]]
    assert "//" not in texts(plots.plot_path(ridge_path(*data, lambdas=[1.0, 0.1])).axes[0])


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((100.0, 0.1), ["$10^{-1}$", "$10^{0}$", "$10^{1}$", "$10^{2}$"]),
        ((8000.0, 2500.0), ["5000", "3000", "4000", "6000", "7000", "8000"]),
        ((30.0, 2.0), ["2", "5", "10", "20"]),
        ((1.75, 1.15), ["1.2", "1.4", "1.6", "1.8"]),
        ((1.1, 1.0), ["1"]),
    ],
)
def test_ticks_of_any_range(data, ends, labels):
    path = ridge_path(*data, lambdas=ends)
    figure = plots.plot_path(path)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    found = [label.get_text() for label in axis.get_xticklabels()]
    assert sorted(found) == sorted(labels)
    for x, label in zip(axis.get_xticks(), found, strict=True):
        np.testing.assert_allclose(x, float(re.sub(r"\$10\^{(.*)}\$", r"1e\1", label)))
    assert not overlapping([label.get_window_extent() for label in axis.get_xticklabels()])


@pytest.mark.parametrize("lambda_", [0.5, 0.0])
def test_one_lambda_is_drawn_as_dots(data, lambda_):
    path = ridge_path(*data, lambdas=[lambda_])
    (axis,) = plots.plot_path(path).axes
    for label, line in curves(axis).items():
        assert line.get_marker() == "o"
        np.testing.assert_array_equal(line.get_ydata(), path.coef[:, int(label[1:])])
    assert [label.get_text() for label in axis.get_xticklabels()] == [f"{lambda_:g}"]
    grey = axis.lines[1]
    assert len(grey.get_xdata()) == 2
    assert len(curves(axis)) == 10


def test_a_path_of_zeros_has_its_axis_and_its_counts(data):
    path = lasso_path(*data, lambdas=[2e3, 1e3])
    assert not path.coef.any()
    (axis,) = plots.plot_path(path).axes
    assert curves(axis) == {}
    assert texts(axis) == ["every coefficient is 0"]
    assert set(counts(axis)[1].values()) == {0}
    low, high = axis.get_ylim()
    assert low < 0 < high


def test_marks_stand_at_their_lambdas(data):
    path = lasso_path(*data, lambdas=[4.0, 2.0, 1.0, 0.5])
    marks = {"second": 2.0, "between": 0.7, "again": 2.0}
    (axis,) = plots.plot_path(path, marks=marks, n_labels=0).axes
    assert verticals(axis) == [0.7, 2.0]
    assert texts(axis) == ["between (0.7)", "second\nagain (2)"]


def test_texts_of_near_marks_stand_on_either_side(data):
    path = lasso_path(*data, n_lambdas=100)
    figure = plots.plot_path(path, marks={"a": path.lambdas[50], "b": path.lambdas[49]}, n_labels=0)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert not overlapping(boxes)


def test_a_cross_validation_shows_its_path_and_its_choices(data, cv):
    assert cv.lambda_ < cv.lambda_1se
    (axis,) = plots.plot_path(cv, n_labels=12).axes
    for label, line in curves(axis).items():
        np.testing.assert_array_equal(line.get_ydata(), cv.path.coef[:, int(label[1:])])
    assert verticals(axis) == [cv.lambda_, cv.lambda_1se]
    assert texts(axis)[-2:] == [
        f"least error ({cv.lambda_:.3g})",
        f"one standard error ({cv.lambda_1se:.3g})",
    ]
    (own,) = plots.plot_path(cv, marks={"mine": cv.lambdas[0, 5]}).axes
    assert verticals(own) == [cv.lambdas[0, 5]]


# --- cross-validation ---


def test_errors_are_drawn_for_every_mix(cv):
    (axis,) = plots.plot_cross_validation(cv).axes
    drawn = curves(axis)
    chosen = cv.l1_ratios.tolist().index(cv.l1_ratio)
    assert chosen > 0
    for i, ratio in enumerate(cv.l1_ratios):
        line = drawn[f"l1_ratio = {ratio:g}" + " (chosen)" * (i == chosen)]
        np.testing.assert_array_equal(line.get_xdata(), cv.lambdas[i])
        np.testing.assert_array_equal(line.get_ydata(), cv.mean_error[i])
    assert f"l1_ratio = {cv.l1_ratio:g}" in counts(axis)[0].get_xlabel()
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn.values()}
    assert len(looks) == len(drawn)
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel() == "strength $\\lambda$"
    assert "mean squared error" in axis.get_ylabel()


def test_folds_band_and_choices_are_those_of_the_chosen_mix(cv):
    (axis,) = plots.plot_cross_validation(cv).axes
    chosen = cv.l1_ratios.tolist().index(cv.l1_ratio)
    grey = [line.get_ydata() for line in axis.lines if line.get_color() == "0.75"]
    np.testing.assert_array_equal(grey, cv.fold_errors[chosen])
    (band,) = [c for c in axis.collections if isinstance(c, PolyCollection)]
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
    mean, error = cv.mean_error[chosen], cv.standard_error[chosen]
    for edge in (mean - error, mean + error):
        assert set(zip(cv.lambdas[chosen].tolist(), edge.tolist(), strict=True)) <= corners
    assert verticals(axis) == [cv.lambda_, cv.lambda_1se]
    assert [text.split(" (")[0] for text in texts(axis)] == ["least error", "one standard error"]
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    assert legend.count("each fold") == legend.count("one standard error") == 1
    assert len(legend) == 5


def test_many_folds_are_not_drawn_one_by_one(data):
    for folds, label in (("leave-one-out", "mean of 60 folds"), ("gcv", "generalised")):
        result = ridge_cv(*data, folds=folds, n_lambdas=20)
        (axis,) = plots.plot_cross_validation(result).axes
        (line,) = curves(axis).values()
        assert line.get_label().startswith(label)
        np.testing.assert_array_equal(line.get_ydata(), result.mean_error[0])
        assert len(axis.collections) == (folds == "leave-one-out")


def test_cross_validation_at_one_lambda_and_at_zero(data):
    lone = lasso_cv(*data, lambdas=[0.3], folds=3)
    (axis,) = plots.plot_cross_validation(lone).axes
    drawn = curves(axis)
    assert {line.get_marker() for line in drawn.values()} == {"o"}
    assert texts(axis) == ["least error\none standard error (0.3)"]
    (bar,) = [c for c in axis.collections if isinstance(c, LineCollection)]
    np.testing.assert_allclose(
        bar.get_segments()[0][:, 1],
        lone.mean_error[0, 0] + np.array([-1, 1]) * lone.standard_error[0, 0],
    )
    with_zero = lasso_cv(*data, lambdas=[0.3, 0.01, 0.0], folds=3)
    (axis,) = plots.plot_cross_validation(with_zero).axes
    assert 0 < curves(axis)["mean of 3 folds"].get_xdata()[-1] < 0.01
    assert axis.get_xticklabels()[-1].get_text() == "0"


def test_errors_of_different_size_are_drawn_in_the_logarithm():
    X = np.random.default_rng(1).normal(size=(40, 3))
    (axis,) = plots.plot_cross_validation(lasso_cv(X, X[:, 0])).axes
    assert axis.get_yscale() == "log"
    (axis,) = plots.plot_cross_validation(lasso_cv(X, X[:, 0], lambdas=[1.0, 0.9])).axes
    assert axis.get_yscale() == "linear"


def test_both_figures_share_one(cv):
    figure = Figure(layout="constrained")
    left, right = figure.subfigures(1, 2)
    first, second = left.subplots(), right.subplots()
    assert plots.plot_path(cv, axis=first) is figure
    assert plots.plot_cross_validation(cv, axis=second) is figure
    assert len(curves(first)) == 10
    assert len(curves(second)) == 4


def test_the_picture_of_the_readme_is_drawn_by_its_command():
    figure = runpy.run_path(str(ROOT / "docs" / "figures" / "diabetes_path.py"))["draw"]()
    left, right = figure.axes
    assert {"bmi", "s5", "bp"} <= set(texts(left))
    assert verticals(left) == verticals(right)
    assert (ROOT / "docs" / "figures" / "diabetes_path.png").stat().st_size < 200_000


# --- refused ---


def test_several_responses_are_refused_with_a_remedy_that_works(data):
    X, y = data
    several = np.column_stack([y, -y])
    path = lasso_path(X, several, n_lambdas=5)
    with pytest.raises(ValueError, match="several paths") as caught:
        plots.plot_path(path)
    remedy = str(caught.value).split("the first with ")[1].rstrip(".")
    first = eval(remedy, {"Path": Path, "path": path})
    drawn = curves(plots.plot_path(first, n_labels=12).axes[0])
    np.testing.assert_array_equal(drawn["x0"].get_ydata(), path.coef[0, :, 0])
    result = lasso_cv(X, several, n_lambdas=5, folds=3)
    for draw in (plots.plot_path, plots.plot_cross_validation):
        with pytest.raises(ValueError, match="2 responses; cross-validate"):
            draw(result)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_names": ["a"]}, "1 feature_names for 12"),
        ({"scale": np.ones(3)}, "scale must be"),
        ({"scale": np.full(12, np.nan)}, "scale must be"),
        ({"scale": -np.ones(12)}, "scale must be"),
        ({"n_labels": -1}, "n_labels must be at least 0"),
        ({"marks": {"far": 9.0}}, "'far' at 9 is outside the lambdas, 0.5 to 2"),
        ({"marks": {"gap": 0.1}}, "'gap' at 0.1 is outside"),
        ({"marks": {"none": np.nan}}, "outside"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_drawn(data, settings, message):
    path = elastic_net_path(*data, lambdas=[2.0, 0.5, 0.0])
    axis = Figure().subplots()
    with pytest.raises(ValueError, match=message):
        plots.plot_path(path, axis=axis, **settings)
    assert not axis.lines
    assert axis.get_xscale() == "linear"


def test_other_things_are_refused(data, cv):
    with pytest.raises(TypeError, match="Path or a CrossValidation, not ndarray"):
        plots.plot_path(cv.coef)
    with pytest.raises(TypeError, match="a CrossValidation, not Path"):
        plots.plot_cross_validation(cv.path)
