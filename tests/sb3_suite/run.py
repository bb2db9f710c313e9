"""
Runs Stable-Baselines3's own test suite with PPO replaced by RPD: ``make test-sb3``.

The source distribution of the installed version ships its tests. Those in files that build PPO are run with RPD in its place.
What fails is run again with plain PPO: a test that fails there too (a package is missing) says nothing about
RPD; any other failure is RPD's own and makes this program fail, as does a run in which no RPD model was built.
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


def fetch_tests(folder: Path) -> Path:
    """
    Download the source distribution of the installed Stable-Baselines3 and unpack its tests.

    Only the tests and pytest's settings are unpacked: the package itself must be the installed one.

    :param folder: Where to keep it; what is there already is not downloaded again.
    :return: The folder that holds ``tests/`` and ``pyproject.toml``.
    """
    release = version("stable-baselines3")
    root = folder / release
    if not (root / "tests").is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), f"stable-baselines3=={release}"], check=True)
        with tarfile.open(next(folder.glob(f"*-{release}.tar.gz"))) as archive:
            for member in archive.getmembers():
                name = member.name.partition("/")[2]
                if member.isfile() and (name == "pyproject.toml" or name.startswith("tests/")):
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    (root / name).write_bytes(archive.extractfile(member).read())
    return root


def run_pytest(root: Path, algorithm: str, tests: list[str], extra: list[str]) -> Report:
    """
    Run tests with one algorithm in PPO's place.

    :param root: The folder that holds ``tests/``.
    :param algorithm: "rpd" or "ppo".
    :param tests: Files or node ids.
    :param extra: Further arguments for pytest.
    :return: The plugin's report: for each test its outcome and the number of models built.
    """
    report = root / f"report-{algorithm}.json"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "rpd_for_ppo",
        "--suite-algorithm",
        algorithm,
        "--suite-report",
        str(report),
    ]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *extra, *tests], cwd=root, env=environment, check=False)
    if not report.exists():
        raise SystemExit(f"pytest ended before it wrote {report}: see its output above.")
    return json.loads(report.read_text())


def failures(report: Report) -> list[str]:
    return [test for test, entry in report.items() if entry["outcome"] == "failed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/sb3_suite"), help="where to unpack the tests")
    parser.add_argument("pytest_args", nargs="*", help="further arguments for pytest, after --")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)

    root = fetch_tests(args.folder.resolve())
    files = [
        str(path.relative_to(root)) for path in sorted(root.glob("tests/test_*.py")) if re.search(r"\bPPO\b", path.read_text())
    ]
    report = run_pytest(root, "rpd", files, args.pytest_args)
    failed = failures(report)
    baseline = set(failures(run_pytest(root, "ppo", failed, [])) if failed else [])

    building = [test for test, entry in report.items() if entry["built"]]
    models = sum(entry["built"] for entry in report.values())
    print(
        f"\nstable-baselines3 {version('stable-baselines3')}: {len(files)} test files that build PPO, {len(report)} tests ran."
    )
    print(f"{len(building)} of them built {models} RPD models; {len(set(building) - set(failed))} of these passed.")
    for test in failed:
        print(f"  {'fails with plain PPO too' if test in baseline else 'FAILS WITH RPD ONLY'}: {test}")
    if not building:
        raise SystemExit("No RPD model was built: the replacement of PPO did not work.")
    if set(failed) - baseline:
        raise SystemExit(f"{len(set(failed) - baseline)} tests fail with RPD and pass with PPO.")


if __name__ == "__main__":
    main()
