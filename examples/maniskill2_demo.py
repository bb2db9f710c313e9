"""
RPD against its teacher and against PPO on the ManiSkill2 simulator: some minutes on two cores, no GPU.

The teacher is a scripted controller that is made about as bad as a vision-language-action model off its training data: it
reaches beside the cube, always to the same side, with noise on each action, and nonsense in some states. PPO and RPD then
train side by side, one process and one core each, with the same settings, seed and steps; RPD also asks the teacher what it
would have done. Of each student the policy is kept that does best in episodes of its own, and all three are counted over the
same held-out episodes, the students with their deterministic actions.

    python examples/maniskill2_demo.py                    # everything lands in runs/demo
    python examples/maniskill2_demo.py --teacher noisy    # without the side
    python examples/maniskill2_demo.py --reward sparse
    python examples/maniskill2_demo.py --task PickCube-v0 --timesteps 300000
    python examples/maniskill2_demo.py --quick            # does it run? too short to learn anything
"""

import argparse
import csv
import json
import multiprocessing
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_rpd import RPD, TeacherActionWrapper, recommended
from sb3_rpd.common.history import HistoryWrapper, read_past
from sb3_rpd.envs import RenderingUnavailableError, make_maniskill2_vec_env, privileged_state
from sb3_rpd.evaluation import KeepBest, Student
from sb3_rpd.evaluation.intervals import wilson_interval
from sb3_rpd.teachers import DegradedTeacher, ScriptedTeacher, TeacherEvaluation, evaluate_teacher

# How many steps the late gripper is late
LATE_BY = 88
# What each teacher is made to do wrong
TEACHERS: dict[str, dict[str, Any]] = {
    "noisy": dict(noise_std=0.4, wrong_fraction=0.1),
    "biased": dict(bias=(0.3, 0.3, 0, 0, 0, 0, 0), noise_std=0.4, wrong_fraction=0.1),
    "late-gripper": dict(gripper_delay=LATE_BY),
}

# Of both students
SETTINGS: dict[str, Any] = dict(
    learning_rate=LinearSchedule(1e-3, 0.0, 1.0),
    n_steps=100,
    batch_size=200,
    n_epochs=8,
    gae_lambda=0.9,
    device="cpu",
)

N_ENVS = 8
EPISODE_STEPS = 100
# The environments train from the seeds at --seed; the best policy is chosen in episodes from the first of these on, and the
# results are counted in episodes from the second on
SELECTION_SEED, EVALUATION_SEED = 500_000, 1_000_000


def make_envs(task: str, n_envs: int, seed: int, **kwargs: Any) -> VecEnv:
    return make_maniskill2_vec_env(task, n_envs, seed=seed, max_episode_steps=EPISODE_STEPS, **kwargs)


def show_teacher(env: Any) -> TeacherActionWrapper:
    return TeacherActionWrapper(env, observation={"privileged": privileged_state})


def show_late_teacher(env: Any) -> TeacherActionWrapper:
    remembering = HistoryWrapper(env, privileged_state, length=LATE_BY)
    return TeacherActionWrapper(remembering, observation={"privileged": privileged_state, "privileged_past": read_past})


def make_teacher_envs(options: argparse.Namespace, seed: int, **kwargs: Any) -> VecEnv:
    show = show_late_teacher if options.teacher == "late-gripper" else show_teacher
    return make_envs(options.task, N_ENVS, seed, reward=options.reward, wrap=show, **kwargs)


def make_teacher(options: argparse.Namespace, seed: int) -> DegradedTeacher:
    return DegradedTeacher(ScriptedTeacher(options.task), **TEACHERS[options.teacher], seed=seed)


class PrintProgress(BaseCallback):
    """Prints a line every few seconds; each call of it is one rollout."""

    def __init__(self, name: str, total_timesteps: int, seconds: float = 10.0) -> None:
        super().__init__()
        self.name, self.total_timesteps, self.seconds = name, total_timesteps, seconds
        self.started = self.printed = time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        now = time.monotonic()
        if now - self.printed < self.seconds and self.num_timesteps < self.total_timesteps:
            return
        self.printed = now
        successes, episodes = self.model.ep_success_buffer, self.model.ep_info_buffer
        if successes and episodes:
            print(
                f"{self.name:>4} {self.num_timesteps:>7,} of {self.total_timesteps:,} steps, {now - self.started:4.0f} s: "
                f"success {np.mean(successes):4.0%}, return {np.mean([episode['r'] for episode in episodes]):5.1f} "
                f"(exploring, last {len(successes)} episodes)",
                flush=True,
            )


def train(name: str, options: argparse.Namespace, imitation: dict[str, Any] | None = None) -> None:
    """Train one student, evaluate it, and leave model, statistics, logs and result in its folder."""
    th.set_num_threads(1)
    folder = options.output / name.lower()
    env = make_teacher_envs(options, options.seed, end_on_success=not options.continue_after_success)
    env = VecNormalize(env, norm_reward=False)
    policy = dict(net_arch=[256, 256], log_std_init=options.log_std_init)
    settings = dict(SETTINGS, gamma=options.gamma, seed=options.seed, policy_kwargs=policy)
    if name == "RPD":
        teacher = make_teacher(options, options.seed)
        model: PPO = RPD("MlpPolicy", env, teacher=teacher, **settings, **(imitation or recommended()))
    else:
        model = PPO("MlpPolicy", env, **settings)
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    selection_env = make_envs(options.task, N_ENVS, SELECTION_SEED, reward=options.reward)
    keep_best = KeepBest(
        selection_env, every=options.timesteps // 8, n_episodes=options.selection_episodes, seed=SELECTION_SEED
    )
    started = time.monotonic()
    model.learn(options.timesteps, callback=[PrintProgress(name, options.timesteps), keep_best])
    seconds = time.monotonic() - started
    keep_best.restore()
    model.save(folder / "student.zip")
    env.save(str(folder / "vecnormalize.pkl"))

    student = Student(model, env)
    env = make_envs(options.task, N_ENVS, EVALUATION_SEED, reward=options.reward)
    result = evaluate_teacher(student, env, options.episodes, seed=EVALUATION_SEED)
    outcome = dict(successes=result.successes, mean_return=result.mean_return, mean_length=result.mean_length, seconds=seconds)
    (folder / "result.json").write_text(json.dumps(outcome))


def evaluate_teacher_alone(options: argparse.Namespace) -> TeacherEvaluation:
    """Let the teacher act by itself in the episodes in which the students are evaluated."""
    env = make_teacher_envs(options, EVALUATION_SEED)
    teacher = make_teacher(options, EVALUATION_SEED)
    evaluation = evaluate_teacher(teacher, env, options.episodes, seed=EVALUATION_SEED)
    env.close()
    return evaluation


def train_both(options: argparse.Namespace) -> None:
    """Train PPO and RPD side by side, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=train, args=(name, options), name=name, daemon=True) for name in ("PPO", "RPD")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            raise SystemExit(f"Training {worker.name} failed, see above.")


def print_table(rows: list[tuple[str, dict[str, Any]]], options: argparse.Namespace) -> None:
    print(f"\n{options.task}, {options.teacher} teacher, {options.reward} reward, seed {options.seed}, ", end="")
    print(f"{options.episodes} held-out episodes of at most {EPISODE_STEPS} steps\n")
    print("|         | success | 95% interval | return | episode length | environment steps | seconds of training |")
    print("|---------|---------|--------------|--------|----------------|-------------------|---------------------|")
    for name, row in rows:
        rate = row["successes"] / options.episodes
        low, high = wilson_interval(row["successes"], options.episodes)
        steps, seconds = (f"{options.timesteps:,}", f"{row['seconds']:.0f}") if "seconds" in row else ("-", "-")
        print(
            f"| {name:<7} | {rate:>7.0%} | {low:>4.0%} to {high:>4.0%} | {row['mean_return']:>6.1f} "
            f"| {row['mean_length']:>14.1f} | {steps:>17} | {seconds:>19} |"
        )


def plot_learning_curves(teacher_rate: float, options: argparse.Namespace) -> pathlib.Path:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, color in (("RPD", "tab:blue"), ("PPO", "tab:orange")):
        with open(options.output / name.lower() / "progress.csv", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("rollout/success_rate")]
        steps = [float(row["time/total_timesteps"]) for row in rows]
        axes.plot(steps, [float(row["rollout/success_rate"]) for row in rows], label=name, color=color)
    axes.axhline(teacher_rate, label="teacher", color="tab:gray", linestyle="--")
    axes.set(xlabel="environment steps", ylabel="success rate (exploring, last 100 episodes)", ylim=(-0.02, 1.02))
    axes.set_title(f"{options.task}, seed {options.seed}")
    axes.legend()
    path: pathlib.Path = options.output / "learning_curves.png"
    figure.savefig(path, dpi=150)
    return path


def film_student(options: argparse.Namespace) -> pathlib.Path:
    """Render one held-out episode of the RPD student, loaded as plain Stable-Baselines3 loads it, as a strip of frames."""
    from PIL import Image

    folder = options.output / "rpd"
    env = make_envs(options.task, 1, EVALUATION_SEED, render_mode="rgb_array", image_size=192)
    env = VecNormalize.load(str(folder / "vecnormalize.pkl"), env)
    env.training = False
    student = PPO.load(folder / "student.zip", device="cpu")
    observations, frames, ended = env.reset(), [], False
    while not ended:
        frames.append(env.render())
        actions, _ = student.predict(observations, deterministic=True)
        observations, _, dones, _ = env.step(actions)
        ended = dones[0]
    env.close()
    shown = np.linspace(0, len(frames) - 1, 8).round().astype(int)
    path: pathlib.Path = options.output / "student.png"
    Image.fromarray(np.concatenate([frames[i] for i in shown], axis=1)).save(path)
    return path


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="LiftCube-v0", choices=["LiftCube-v0", "PickCube-v0", "StackCube-v0"])
    parser.add_argument("--teacher", default="biased", choices=list(TEACHERS), help="what it is made to do wrong")
    parser.add_argument(
        "--reward", default="dense", choices=["dense", "sparse", "maniskill2_dense"], help="of all environments"
    )
    parser.add_argument("--gamma", type=float, default=0.99, help="both students' discount factor")
    parser.add_argument("--timesteps", type=int, default=80_000, help="environment steps for each of PPO and RPD")
    parser.add_argument("--episodes", type=int, default=100, help="held-out episodes of each evaluation")
    parser.add_argument("--seed", type=int, default=0)
    # Small, for grasping: a standard deviation of exp(-2) = 0.14 moves the hand by 14 mm a step
    parser.add_argument("--log-std-init", type=float, default=-2.0, help="both students' initial exploration noise")
    parser.add_argument("--continue-after-success", action="store_true", help="training episodes end by time alone")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/demo"))
    parser.add_argument("--quick", action="store_true", help="a run of seconds that shows only that everything works")
    parser.add_argument("--selection-episodes", type=int, default=20, help="episodes of each choice of the best policy")
    options = parser.parse_args(arguments)
    if options.quick:
        options.timesteps, options.episodes, options.selection_episodes = 1_600, 2, 1
    return options


def main() -> None:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"The teacher of {options.task} by itself: {TEACHERS[options.teacher]}")
    teacher = evaluate_teacher_alone(options)
    print(f"succeeds in {teacher.successes} of {options.episodes} episodes. Now PPO and RPD train side by side.", flush=True)
    train_both(options)

    results = {name: json.loads((options.output / name.lower() / "result.json").read_text()) for name in ("PPO", "RPD")}
    teacher_row = dict(successes=teacher.successes, mean_return=teacher.mean_return, mean_length=teacher.mean_length)
    print_table([("teacher", teacher_row), ("PPO", results["PPO"]), ("RPD", results["RPD"])], options)
    print(f"\nLearning curves:  {plot_learning_curves(teacher.success_rate, options)}")
    try:
        print(f"The student:      {film_student(options)}")
    except RenderingUnavailableError as error:
        print(f"The student is not shown, nothing can render here: {error}")
    print(f"TensorBoard:      tensorboard --logdir {options.output}")
    print("The student, in plain Stable-Baselines3:")
    print(f'    model = stable_baselines3.PPO.load("{options.output}/rpd/student.zip")')
    print(f"    (its observations are normalized by {options.output}/rpd/vecnormalize.pkl: VecNormalize.load)")


if __name__ == "__main__":
    main()
