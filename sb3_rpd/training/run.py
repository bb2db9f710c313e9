"""One training as a folder: its settings, its log, its checkpoints, and at the end its best student."""

from collections.abc import Callable
from pathlib import Path

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, is_vecenv_wrapped

from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.common.wording import cut
from sb3_rpd.evaluation import KeepBest
from sb3_rpd.rpd import RPD
from sb3_rpd.training.algorithms import check_environment, find_algorithm, policy_for
from sb3_rpd.training.checkpoints import KEPT, STATISTICS, STUDENT, SaveCheckpoints, last_checkpoint, save_student
from sb3_rpd.training.environments import make_environment
from sb3_rpd.training.progress import ShowProgress
from sb3_rpd.training.settings import TrainingSettings
from sb3_rpd.training.teachers import NamedTeacher, find_teacher

#: The settings of the training in a folder.
SETTINGS = "settings.yaml"
#: Its checkpoints.
CHECKPOINTS = "checkpoints"

#: Evaluations are in episodes of these seeds, far from those that trainings have.
_SEED_OF_THE_CHOICE = 500_000


def train(settings: TrainingSettings, folder: Path, say: Callable[[str], None]) -> KeepBest:
    """
    Train a student in a folder, from the last checkpoint there if there is one. The folder gets the settings, a log
    (``progress-STEPS.csv``, STEPS being where the training, or its continuation, began), checkpoints and, in the end, the best
    student with the statistics of its observations.

    A training that goes on after a kill is not the same to the last bit as one that was not interrupted: environments begin
    new episodes, and the generators are seeded anew, by the seed plus the steps made so far.

    :param settings: What to train.
    :param folder: Where. It is made if it is not there.
    :param say: Is told in lines how far the training is.
    :return: What the evaluations have found.
    :raises ValueError: if something in the settings is unknown, or does not go with the rest.
    :raises TeacherError: if the teacher does not fit the environment.
    """
    named = find_teacher(settings)
    env = evaluation_env = None
    try:
        env = _make_environment(settings, settings.seed, named)
        evaluation_env = _make_environment(settings, None)
        _check_evaluation(evaluation_env)
        every = settings.evaluate_every or max(settings.timesteps // 20, 1)
        keep_best = KeepBest(evaluation_env, every=every, n_episodes=settings.evaluation_episodes, seed=_SEED_OF_THE_CHOICE)
        model = _make_model(settings, folder, env, named, keep_best, say)
        # not before everything is there: a mistake leaves nothing behind
        folder.mkdir(parents=True, exist_ok=True)
        settings.save(folder / SETTINGS)
        model.set_logger(_make_logger(model, folder))
        if model.num_timesteps < settings.timesteps:
            checkpoints = SaveCheckpoints(folder / CHECKPOINTS, settings.checkpoint_every, keep_best)
            callbacks = [keep_best, checkpoints, ShowProgress(settings.timesteps, keep_best, say)]
            remaining = settings.timesteps - model.num_timesteps
            model.learn(remaining, callback=callbacks, reset_num_timesteps=model.num_timesteps == 0)
        else:
            keep_best.init_callback(model)
        keep_best.restore()
        save_student(model, folder)
        return keep_best
    finally:
        for opened in (env, evaluation_env, named.teacher):
            if opened is not None:
                opened.close()


def _make_environment(settings: TrainingSettings, seed: int | None, named: NamedTeacher | None = None) -> VecEnv:
    return make_environment(
        settings.env,
        settings.n_envs,
        seed,
        env_kwargs=settings.env_kwargs,
        wrap=named and named.wrap,
        needs_frames=named is not None and named.needs_frames,
    )


def _check_evaluation(env: VecEnv) -> None:
    if env.observation_space != env.unwrapped.observation_space or is_vecenv_wrapped(env, VecNormalize):
        raise ValueError(
            "The student is evaluated in the environments themselves, without the wrappers of a VecEnv, and those that were "
            "made change what it observes. Stack frames inside each environment; for VecNormalize write `normalize: true`."
        )


def _make_logger(model: RPD, folder: Path) -> Logger:
    outputs: list[KVWriter] = [CSVOutputFormat(str(folder / f"progress-{model.num_timesteps}.csv"))]
    if model.tensorboard_log is not None:
        outputs.append(TensorBoardOutputFormat(model.tensorboard_log))
    return Logger(None, outputs)


def _make_model(
    settings: TrainingSettings, folder: Path, env: VecEnv, named: NamedTeacher, keep_best: KeepBest, say: Callable[[str], None]
) -> RPD:
    algorithm = find_algorithm(settings.algorithm)
    check_environment(settings.algorithm, env)
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    if checkpoint is None:
        if settings.normalize is not False:
            env = VecNormalize(env, **(settings.normalize if isinstance(settings.normalize, dict) else {}))
        arguments = read_named_values(settings.rpd)
        policy = policy_for(settings.algorithm, env.observation_space) if settings.policy == "auto" else settings.policy
        try:
            return algorithm(policy, env, seed=settings.seed, teacher=named.teacher, **arguments)
        except (TypeError, AssertionError) as error:
            # from within Stable-Baselines3, of arguments of a wrong kind
            raise ValueError(f"{settings.algorithm} cannot be made with {cut(settings.rpd)}: {cut(error)}.") from error
    say(f"Going on from {checkpoint}")
    if (checkpoint / STATISTICS).is_file():
        env = VecNormalize.load(str(checkpoint / STATISTICS), env)
    model = algorithm.load(checkpoint / STUDENT, env=env, teacher=named.teacher, device=settings.rpd.get("device", "auto"))
    # not that of the beginning, which would draw the same numbers again
    model.set_random_seed(settings.seed + model.num_timesteps)
    keep_best.load(checkpoint / KEPT)
    return model
