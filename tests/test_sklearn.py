"""The drop-ins as estimators: scikit-learn's own checks, and what surrounds an estimator."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn import linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import regjax.sklearn as drop_ins
from regjax.paths import elastic_net_cv, elastic_net_path
from regjax.sklearn._cross_validated import CrossValidated

CLASSES = [getattr(drop_ins, name) for name in drop_ins.__all__]
MULTI_TASK = [c for c in CLASSES if c.__name__.startswith("MultiTask")]


def problem(several=False, n=60, p=6):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) + 1
    y = X @ np.linspace(-2, 2, p) + rng.normal(size=n)
    return X, np.c_[y, y[::-1]] if several else y


def problem_of(cls):
    return problem(several=cls in MULTI_TASK)


def with_few_strengths(cls):
    """Return an estimator of the class, quick where it cross-validates."""
    return cls(alphas=4, cv=3) if issubclass(cls, CrossValidated) else cls()


# One of those that share their `fit` stands for them; the others are slow.
CHECKED = ("ElasticNet", "LassoCV", "MultiTaskElasticNet", "Ridge", "RidgeCV")


def estimators_to_check(among):
    chosen = [cls for cls in CLASSES if (cls.__name__ in CHECKED) == among]
    return [cls(alphas=2, cv=2) if issubclass(cls, CrossValidated) else cls() for cls in chosen]


@parametrize_with_checks(estimators_to_check(True))
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(estimators_to_check(False))
def test_the_checks_of_scikit_learn_on_the_others(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_drop_in_is_the_estimator_that_it_replaces(cls):
    theirs = getattr(linear_model, cls.__name__)
    assert issubclass(cls, theirs)
    assert cls().get_params() == theirs().get_params()
    assert repr(cls()) == repr(theirs())
    assert cls.__doc__ != theirs.__doc__


@pytest.mark.parametrize("cls", CLASSES)
def test_clones_pickles_and_attributes(cls):
    X, y = problem_of(cls)
    model = with_few_strengths(cls).fit(X, y)
    theirs = getattr(linear_model, cls.__name__)(**model.get_params()).fit(X, y)
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert {name for name in vars(model) if name.endswith("_")} == public
    for name in public - {"n_iter_", "solver_"}:
        ours, other = getattr(model, name), getattr(theirs, name)
        assert np.shape(ours) == np.shape(other), name
        assert np.asarray(ours).dtype == np.asarray(other).dtype, name
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.predict(X), model.predict(X), rtol=0)
    assert not hasattr(clone(model), "coef_")
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("cls", CLASSES)
def test_the_data_are_not_written_to(cls):
    X, y = problem_of(cls)
    before = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    model = with_few_strengths(cls)
    model.set_params(**({"copy_X": False} if "copy_X" in model.get_params() else {})).fit(X, y)
    assert (before[0] == X).all()
    assert (before[1] == y).all()


@pytest.mark.parametrize("cls", CLASSES)
def test_float32_stays(cls):
    X, y = problem_of(cls)
    model = with_few_strengths(cls)
    expected = clone(model).fit(X, y).coef_
    model.fit(X.astype(np.float32), y.astype(np.float32))
    assert model.coef_.dtype == model.predict(X.astype(np.float32)).dtype == np.float32
    assert_allclose(model.coef_, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("cls", CLASSES)
def test_names_of_features_from_data_frames(cls):
    X, y = problem_of(cls)
    frame = pl.DataFrame(X, schema=list("abcdef"))
    model = with_few_strengths(cls).fit(frame, y)
    assert list(model.feature_names_in_) == list("abcdef")
    assert_allclose(model.coef_, clone(model).fit(X, y).coef_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename({"a": "z"}))
    scaler = StandardScaler().set_output(transform="polars")
    pipeline = make_pipeline(scaler, clone(model)).fit(frame, y)
    assert list(pipeline[-1].feature_names_in_) == list("abcdef")


def test_names_through_a_selection():
    X, y = problem()
    frame = pl.DataFrame(X, schema=list("abcdef"))
    select = SelectFromModel(drop_ins.Lasso(alpha=1.0)).set_output(transform="polars")
    kept = select.fit_transform(frame, y).columns
    assert set(kept) == set(np.array(list("abcdef"))[drop_ins.Lasso().fit(X, y).coef_ != 0])
    assert 0 < len(kept) < 6


@pytest.mark.parametrize("cls", CLASSES)
def test_searches_and_scores_are_those_of_scikit_learn(cls):
    X, y = problem_of(cls)
    model = with_few_strengths(cls)
    tight = {"tol": 1e-9, "max_iter": 100_000}
    model.set_params(**{k: v for k, v in tight.items() if k in model.get_params()})
    other = getattr(linear_model, cls.__name__)(**model.get_params())
    of_ours = cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=4)
    of_other = cross_val_score(make_pipeline(StandardScaler(), other), X, y, cv=4)
    assert_allclose(of_ours, of_other, rtol=1e-4)
    if not cls.__name__.endswith("CV"):
        grid = {"alpha": [0.01, 0.1, 1.0]}
        ours = GridSearchCV(model, grid, cv=3).fit(X, y)
        expected = GridSearchCV(other, grid, cv=3).fit(X, y)
        assert ours.best_params_ == expected.best_params_
        assert_allclose(
            ours.cv_results_["mean_test_score"],
            expected.cv_results_["mean_test_score"],
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("cls", CLASSES)
def test_sample_weights_are_routed(cls):
    X, y = problem_of(cls)
    weight = np.random.default_rng(1).uniform(0.1, 10, size=len(X))
    model, scaled = with_few_strengths(cls), StandardScaler().fit_transform(X)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        with pytest.raises(UnsetMetadataPassedError):
            make_pipeline(scaler, clone(model)).fit(X, y, sample_weight=weight)
        asking = clone(model).set_fit_request(sample_weight=True)
        routed = make_pipeline(scaler, asking).fit(X, y, sample_weight=weight)
    direct = clone(model).fit(scaled, y, sample_weight=weight)
    assert_allclose(routed[-1].coef_, direct.coef_)
    assert not np.allclose(direct.coef_, model.fit(scaled, y).coef_)


@pytest.mark.parametrize("cls", [c for c in CLASSES if c.__name__.endswith("CV")])
def test_groups_are_routed_to_the_splitter(cls):
    X, y = problem_of(cls)
    groups = np.arange(len(X)) % 7
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        cls(cv=GroupKFold(3)).fit(X, y, groups=groups)
    few = {"alphas": [1.0, 0.1]}
    with sklearn.config_context(enable_metadata_routing=True):
        model = cls(cv=GroupKFold(3), **few).fit(X, y, groups=groups)
    splits = list(GroupKFold(3).split(X, y, groups))
    assert_allclose(model.coef_, cls(cv=splits, **few).fit(X, y).coef_)


@pytest.mark.parametrize("cls", [drop_ins.LassoCV, drop_ins.MultiTaskElasticNetCV])
def test_a_single_split_is_enough(cls):
    X, y = problem_of(cls)
    split = PredefinedSplit(np.where(np.arange(len(X)) < 40, -1, 0))
    model = cls(alphas=9, cv=split, tol=1e-9, max_iter=100_000).fit(X, y)
    theirs = getattr(linear_model, cls.__name__)(**model.get_params()).fit(X, y)
    assert_allclose(model.mse_path_, theirs.mse_path_, rtol=1e-4)
    assert model.alpha_ == pytest.approx(theirs.alpha_)


def test_a_gap_out_of_reach_is_told(monkeypatch):
    X, y = problem()

    def falling_short(*args, **settings):
        path = elastic_net_path(*args, **settings)
        return dataclasses.replace(path, duality_gap=path.duality_gap + 1e-3)

    def search_falling_short(*args, **settings):
        found = elastic_net_cv(*args, **settings)
        path = dataclasses.replace(found.path, duality_gap=found.path.duality_gap + 1e-3)
        return dataclasses.replace(found, path=path)

    monkeypatch.setattr("regjax.sklearn._coefficients.elastic_net_path", falling_short)
    monkeypatch.setattr("regjax.sklearn._cross_validated.elastic_net_cv", search_falling_short)
    for model in (drop_ins.ElasticNet(tol=1e-4), drop_ins.ElasticNetCV(alphas=9, tol=1e-4)):
        with pytest.warns(ConvergenceWarning, match="Objective did not converge") as caught:
            model.fit(X, y)
        assert {warning.filename for warning in caught} == {__file__}


REFUSED = [
    (drop_ins.Lasso(alpha=-1), "The 'alpha' parameter of Lasso must be"),
    (drop_ins.LassoCV(alphas=[1.0, -1.0]), r"alphas\[1\] == -1.0, must be >= 0.0"),
    (drop_ins.ElasticNetCV(l1_ratio=0), "Automatic alpha grid generation is not supported"),
    (drop_ins.RidgeCV(alphas=[1.0, 0.0]), r"alphas\[1\] == 0.0, must be > 0.0"),
    (drop_ins.Ridge(alpha=[1.0, 2.0]), "Number of targets and number of penalties"),
    (drop_ins.Ridge(solver="lbfgs"), "'lbfgs' solver can be used only when positive=True"),
    (drop_ins.Ridge(solver="svd", positive=True), "does not support positive fitting"),
    (drop_ins.RidgeCV(cv=3, store_cv_results=True), "incompatible"),
    (drop_ins.RidgeCV(cv=3, alpha_per_target=True), "incompatible"),
    (drop_ins.MultiTaskLasso(), "For mono-task outputs, use Lasso"),
    (drop_ins.MultiTaskElasticNetCV(), "For mono-task outputs, use ElasticNetCV"),
    (drop_ins.Lasso(precompute=np.eye(6), fit_intercept=False), "did not pass validation"),
]


@pytest.mark.parametrize(("model", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_and_in_whose_words(model, says):
    X, y = problem()
    with pytest.raises(ValueError, match=says):
        model.fit(X, y)
    with pytest.raises(ValueError, match=says.split(", use")[0]):
        getattr(linear_model, type(model).__name__)(**model.get_params()).fit(X, y)


@pytest.mark.parametrize("alpha", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["LassoCV", "ElasticNetCV", "MultiTaskLassoCV", "RidgeCV"])
def test_alphas_that_are_no_strengths_are_refused(name, alpha):
    X, y = problem()
    Y = np.c_[y, y] if name.startswith("Multi") else y
    with pytest.raises(ValueError, match="must be finite"):
        getattr(drop_ins, name)(alphas=[0.1, alpha]).fit(X, Y)


def test_predictions_across_folds_take_frames_and_jobs():
    X, y = problem()
    model = drop_ins.LassoCV(n_jobs=2, verbose=0, selection="random", random_state=0)
    expected = cross_val_predict(drop_ins.LassoCV(), X, y, cv=3)
    assert_allclose(cross_val_predict(model, pl.DataFrame(X), y, cv=3), expected)


FITS = """
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
import regjax.sklearn as drop_ins
rng = np.random.default_rng(0)
X = rng.normal(size=(53, 5))
for name in drop_ins.__all__:
    y = X[:, :2] if name.startswith("MultiTask") else X[:, 0]
    model = getattr(drop_ins, name)()
    if "eps" in model.get_params():
        model.set_params(alphas=5)
    make_pipeline(StandardScaler(), model).fit(X, y).predict(X)
GridSearchCV(drop_ins.ElasticNet(), {"alpha": [0.1, 1.0]}, cv=3).fit(X, X[:, 0])
import sys
print(*sorted({"jax", "jaxlib", "optax"} & sys.modules.keys()))
"""


def test_no_fit_loads_jax_so_that_nothing_compiles():
    done = subprocess.run([sys.executable, "-c", FITS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
