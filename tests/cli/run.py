#!/usr/bin/env python3
"""Command-line tests: each case is a folder with `cmd` and what it must give: `stdout`, `stderr`, `exit`.

    run.py CASES BIN_FOLDER [--rewrite] [NAME ...]

CASES holds one folder per case, at any depth. `cmd` is run by sh in a fresh copy of the case's folder, with BIN_FOLDER first
on PATH and $SOURCE the source tree; the folder's own path reads as $HERE in what is compared, the tree's as $SOURCE, times and
rates (1.23 s, 45.6 MB/s) as #. A missing `stdout`
or `stderr` is not compared, a missing `exit` is 0. --rewrite writes what came out. Standard library only."""
import argparse, difflib, os, re, shutil, subprocess, sys, tempfile

parser = argparse.ArgumentParser()
parser.add_argument("cases")
parser.add_argument("bin")
parser.add_argument("names", nargs="*")
parser.add_argument("--rewrite", action="store_true")
arguments = parser.parse_intermixed_args()
bin_folder = os.path.abspath(arguments.bin)
source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def normalised(text, here):
    text = text.replace(here, "$HERE").replace(source, "$SOURCE")
    text = re.sub(r"\d+\.\d+ (s|MB/s)\b", r"# \1", text)
    # The seconds and MB/s columns of the table per step.
    text = re.sub(r"^(\S.{46,}?)%?( +)\d+\.\d\d( +\d+\.\d)?( *)$", r"\1 #", text, flags=re.M)
    return re.sub(r'"(seconds|megabytes_per_second|total|parse|write|duplicates)": ?[\d.e+-]+', r'"\1": #', text)


def run_case(folder):
    with tempfile.TemporaryDirectory() as work:
        here = os.path.join(work, "case")
        shutil.copytree(folder, here)
        environment = dict(os.environ, PATH=bin_folder + os.pathsep + os.environ["PATH"], LC_ALL="C.UTF-8", COLUMNS="120",
                           SOURCE=source)
        done = subprocess.run(["sh", "-c", open(os.path.join(folder, "cmd")).read()], cwd=here, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=300)
        got = {"stdout": normalised(done.stdout.decode("utf-8", "replace"), here),
               "stderr": normalised(done.stderr.decode("utf-8", "replace"), here), "exit": f"{done.returncode}\n"}
    wrong = False
    for name, text in got.items():
        path = os.path.join(folder, name)
        if arguments.rewrite and (name != "exit" or text != "0\n"):
            open(path, "w", encoding="utf-8").write(text)
        expected = open(path, encoding="utf-8").read() if os.path.exists(path) else ("0\n" if name == "exit" else None)
        if expected is not None and expected != text:
            wrong = True
            sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), text.splitlines(True),
                                                       f"{path} (expected)", f"{path} (got)"))
    return not wrong


cases = sorted(place for place, _, names in os.walk(arguments.cases) if "cmd" in names)
cases = [case for case in cases if not arguments.names or any(name in case for name in arguments.names)]
failed = [case for case in cases if not run_case(case)]
print(f"{len(cases) - len(failed)} of {len(cases)} command-line cases passed")
if failed or not cases:
    print("failed:", *failed, sep="\n  ")
    sys.exit(1)
