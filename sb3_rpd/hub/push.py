"""Puts a student on the Hugging Face hub."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.vec_normalize import save_statistics
from sb3_rpd.evaluation import Student, TeacherEvaluation
from sb3_rpd.evaluation.film import film_episode, write_gif
from sb3_rpd.export import export_student
from sb3_rpd.hub.card import EXPORTED, REPLAY, StudentCard
from sb3_rpd.training.checkpoints import STATISTICS, STUDENT


def push_to_hub(
    model: BaseAlgorithm,
    repo_id: str,
    *,
    task: str,
    results: Mapping[str, TeacherEvaluation],
    teacher: str | None = None,
    command: str | None = None,
    vec_normalize: VecNormalize | str | Path | None = None,
    replay_env: VecEnv | None = None,
    replay_seed: int = 0,
    export: bool = False,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str = "A student of sb3_rpd",
) -> str:
    """
    Put a student on the hub, with a model card, in one commit. The repository is made if it is not there. Needs
    ``pip install "sb3_rpd[hub]"`` and a token (``hf auth login``).

    :param model: The student.
    :param repo_id: The repository: "user/name".
    :param task: The environment's name.
    :param results: Evaluations by name, from ``evaluate_teacher``; "student" is the student's own, and others ("teacher",
        "PPO") are rows beside it.
    :param teacher: Who the teacher was, in a few words.
    :param command: How the student was trained, to be copied.
    :param vec_normalize: The statistics of the student's training, or the path that ``VecNormalize.save()`` wrote; None for
        those of the ``VecNormalize`` in the model's own environment, if it has one.
    :param replay_env: Where the student is filmed for the card: a ``DummyVecEnv`` with ``render_mode="rgb_array"``. None for
        no replay.
    :param replay_seed: Seed of the filmed episode.
    :param export: Whether to add the student as an ONNX file, which is used without unpickling anything.
    :param private: Whether a new repository is private; None for the account's default.
    :param token: The hub's token; None for that of the login.
    :param commit_message: Of the commit.
    :return: The address of the commit.
    :raises ValueError: if the student's own result is missing, or ``replay_env`` cannot be filmed.
    """
    hub = import_optional("huggingface_hub", extra="hub")
    statistics = model.get_vec_normalize_env() if vec_normalize is None else vec_normalize
    card = StudentCard(
        repo_id,
        task,
        type(model).__name__,
        results,
        teacher,
        command,
        has_replay=replay_env is not None,
        has_statistics=statistics is not None,
        is_exported=export,
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "README.md").write_text(str(card), encoding="utf-8")
        model.save(folder / STUDENT)
        if statistics is not None:
            save_statistics(statistics, folder / STATISTICS)
        if replay_env is not None:
            frames = film_episode(Student(model, statistics), replay_env, seed=replay_seed)
            write_gif(frames, folder / REPLAY)
        if export:
            export_student(model, folder / EXPORTED, vec_normalize=statistics)
        api = hub.HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message).commit_url)
