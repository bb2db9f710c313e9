"""The recommended setting: what it is in the log of a training that gives it to RPD."""

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher
from toy_schedules import training

from sb3_rpd import RPD, recommended
from sb3_rpd.common.label_debiasing import LabelDebiasing


class Kept(KVWriter):
    def __init__(self) -> None:
        self.lines: list[dict] = []

    def write(self, key_values, key_excluded, step=0) -> None:
        self.lines.append(dict(key_values))


def test_imitation_goes_with_the_failures_and_labels_are_debiased() -> None:
    settings = recommended(5.0)
    assert settings.keys() == {"imitation_coef", "label_debiasing"}
    rates = (None, 0.0, 0.5, 0.9, 1.0)
    assert [settings["imitation_coef"](training(success_rate=rate)) for rate in rates] == [5.0, 5.0, 2.5, 1.0, 1.0]
    assert settings["label_debiasing"] == LabelDebiasing(step_size=0.05, start=0.25, limit=0.5)


def test_two_students_do_not_share_what_they_learn() -> None:
    assert recommended()["label_debiasing"] is not recommended()["label_debiasing"]


def test_rpd_trains_with_it() -> None:
    space = ACTION_SPACES["box"]
    env = make_vec_env(lambda: SpacesEnv(space, None), n_envs=2, seed=0)
    model = RPD("MlpPolicy", env, teacher=scripted_teacher(space), n_steps=12, batch_size=24, seed=0, **recommended(2.0))
    kept = Kept()
    model.set_logger(Logger(folder=None, output_formats=[kept]))
    model.learn(4 * 24)

    # A rollout's coefficient is fixed before it, by the successes that the line before had
    successes = [line["rollout/success_rate"] for line in kept.lines]
    coefs = [line["train/imitation_coef"] for line in kept.lines[1:]]
    assert coefs[0] == 2.0
    assert coefs[1:] == [2.0 * max(1.0 - rate, 0.2) for rate in successes[:-2]]
    # Nothing was learned of the offset in the first quarter
    assert model.label_debiasing.bias is not None
    assert (model.label_debiasing.bias != 0.0).all()
