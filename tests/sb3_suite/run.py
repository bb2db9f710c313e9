"""
Runs the test suites of Stable-Baselines3 and of sb3-contrib with RPD in the place of PPO: ``make test-sb3``.

The source distributions of the installed versions ship their tests. Those in files that build PPO (RecurrentPPO, MaskablePPO)
are run with RPD (RecurrentRPD, MaskableRPD) in its place. What fails is run again with the algorithm itself: a test that fails
there too (a package is missing) says nothing about RPD; any other failure is RPD's own and makes this program fail, as does a
run in which no RPD model was built.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Report = dict[str, dict[str, Any]]

#: The distributions whose tests are run, and what a file of theirs that builds PPO names.
SUITES = {"stable-baselines3": r"\bPPO\b", "sb3-contrib": r"\b(?:Recurrent|Maskable)PPO\b"}


def fetch_tests(distribution: str, folder: Path) -> Path:
    """
    Download the source distribution of an installed package and unpack its tests.

    Only the tests and pytest's settings are unpacked: the package itself must be the installed one.

    :param distribution: Its name.
    :param folder: Where to keep it; what is there already is not downloaded again.
    :return: The folder that holds ``tests/`` and ``pyproject.toml``.
    """
    release = version(distribution)
    root = folder / f"{distribution}-{release}"
    if not (root / "tests").is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), f"{distribution}=={release}"], check=True)
        archive_name = f"{distribution.replace('-', '_')}-{release}.tar.gz"
        with tarfile.open(folder / archive_name) as archive:
            for member in archive.getmembers():
                name = member.name.partition("/")[2]
                if member.isfile() and (name == "pyproject.toml" or name.startswith("tests/")):
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    (root / name).write_bytes(archive.extractfile(member).read())
    return root


def run_pytest(root: Path, package: str, algorithm: str, tests: list[str], extra: list[str]) -> Report:
    """
    Run tests with one algorithm in PPO's place.

    :param root: The folder that holds ``tests/``.
    :param package: Whose tests they are.
    :param algorithm: "rpd" or "ppo".
    :param tests: Files or node ids.
    :param extra: Further arguments for pytest.
    :return: The plugin's report: for each test its outcome and the number of models built.
    """
    report = root / f"report-{algorithm}.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "rpd_for_ppo"]
    options = ["--suite-package", package, "--suite-algorithm", algorithm, "--suite-report", str(report)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run([*command, *options, *extra, *tests], cwd=root, env=environment, check=False)
    if not report.exists():
        raise SystemExit(f"pytest ended before it wrote {report}: see its output above.")
    return json.loads(report.read_text())


def failures(report: Report) -> list[str]:
    return [test for test, entry in report.items() if entry["outcome"] == "failed"]


def run_suite(distribution: str, folder: Path, pytest_args: list[str]) -> str | None:
    """
    Run one package's tests and say how they ended.

    :param distribution: Its name.
    :param folder: Where to unpack them.
    :param pytest_args: Further arguments for pytest.
    :return: What is wrong with RPD, None if nothing is.
    """
    package = distribution.replace("-", "_")
    root = fetch_tests(distribution, folder)
    builds_ppo = re.compile(SUITES[distribution])
    files = [
        str(path.relative_to(root)) for path in sorted(root.glob("tests/test_*.py")) if builds_ppo.search(path.read_text())
    ]
    report = run_pytest(root, package, "rpd", files, pytest_args)
    failed = failures(report)
    baseline = set(failures(run_pytest(root, package, "ppo", failed, [])) if failed else [])

    building = [test for test, entry in report.items() if entry["built"]]
    models = sum(entry["built"] for entry in report.values())
    print(f"\n{distribution} {version(distribution)}: {len(files)} test files that build PPO, {len(report)} tests ran.")
    print(f"{len(building)} of them built {models} RPD models; {len(set(building) - set(failed))} of these passed.")
    for test in failed:
        print(f"  {'fails with plain PPO too' if test in baseline else 'FAILS WITH RPD ONLY'}: {test}")
    if not building:
        return f"{distribution}: no RPD model was built, the replacement of PPO did not work."
    if set(failed) - baseline:
        return f"{distribution}: {len(set(failed) - baseline)} tests fail with RPD and pass with PPO."
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/sb3_suite"), help="where to unpack the tests")
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=list(SUITES), help="whose tests to run")
    parser.add_argument("pytest_args", nargs="*", help="further arguments for pytest, after --")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)

    complaints = [run_suite(suite, args.folder.resolve(), args.pytest_args) for suite in args.suites]
    if any(complaints):
        raise SystemExit(" ".join(filter(None, complaints)))


if __name__ == "__main__":
    main()
