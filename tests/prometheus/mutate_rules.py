"""Breaks every alert's expression in every way below, and expects promtool's tests to say so of that alert.

`python3 mutate_rules.py`. A rule that can be altered without a test noticing is not tested. The ways: a clause
(`and …`, `or …`) is taken out; a comparison is turned round; `for:` is taken out; a threshold is moved by a tenth, up
or down, of which one at least has to be noticed, by the firing case or by the silent one. No alert reads another, so a
run of promtool breaks all of them at once, each in one way. Ends with 1 when a mutant lives.
"""

import concurrent.futures
import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RULES = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
FILES = ("business", "pipeline")
COMPARISON = re.compile(r" (<=|>=|==|<|>) ")
THRESHOLD = re.compile(r"(?<=[<>=] )-?\d+(?:\.\d+)?\b")


def alerts(lines):
    """Name, the lines of the expression, and that of `for:` or None; of one alert after the other."""
    for start, line in enumerate(lines):
        match = re.match(r"\s+- alert: (\w+)", line)
        if match:
            end = next(n for n in range(start, len(lines)) if lines[n].lstrip().startswith(("labels:", "for:")))
            yield match[1], range(start + 1, end), end if "for:" in lines[end] else None


def mutants(lines):
    """(alert, what is done, {line number: its new text}); of two that say the same, one has to be noticed."""
    for name, expression, held in alerts(lines):
        if held is not None:
            yield name, f"without {lines[held].strip()}", {held: ""}
        thresholds = set()
        for number in expression:
            line = lines[number]
            start = line.find("expr: ") + 1
            if re.match(r"\s*(and|or) ", line) and line.count("(") == line.count(")"):
                yield name, f"without {line.strip()}", {number: ""}
            for match in COMPARISON.finditer(line, start):
                turned = match[1].translate(str.maketrans("<>", "><")).replace("==", "!=")
                text = line[: match.start(1)] + turned + line[match.end(1) :]
                yield name, f"line {number + 1}: {match[1]} becomes {turned}", {number: text}
            thresholds.update(THRESHOLD.findall(line, start))
        for threshold in sorted(thresholds):
            for factor in (0.9, 1.1):
                moved = f"{float(threshold) * factor or (factor - 1) * 10:g}"
                edits = {
                    n: THRESHOLD.sub(
                        lambda found, moved=moved, old=threshold: moved if found[0] == old else found[0], lines[n]
                    )
                    for n in expression
                }
                yield name, f"{threshold} is moved", {n: text for n, text in edits.items() if text != lines[n]}


def noticed(file, lines, edits):
    """The alerts that promtool's tests complain of, with these edits."""
    with tempfile.TemporaryDirectory() as folder:
        for path in RULES.glob("*.yml"):
            shutil.copy(path, folder)
        text = "".join(edits.get(number, line) for number, line in enumerate(lines))
        rules = pathlib.Path(folder) / f"{file}.rules.yml"
        rules.write_text(text, encoding="utf-8")
        checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
        if checked.returncode:
            raise SystemExit(f"the mutant is no rule:\n{checked.stderr}\n{edits}")
        test = subprocess.run(
            ["promtool", "test", "rules", rules.with_name(f"{file}.test.yml")],
            capture_output=True,
            text=True,
            check=False,
        )
    said = test.stdout + test.stderr
    names = set(re.findall(r"alertname: (\w+), time", said))
    samples = re.compile(r"\{[^}]*alertname=\"(\w+)\"[^}]*\} [\d.E+-]+")
    for expected, got in re.findall(r"exp: (.*)\n +got: (.*)", said):
        ours, theirs = ({found[0]: found[1] for found in samples.finditer(side)} for side in (expected, got))
        names.update(name for sample, name in (ours | theirs).items() if (sample in ours) != (sample in theirs))
    if test.returncode and not names:
        raise SystemExit(f"not understood:\n{said[:4000]}")
    return names


def main():
    fate = {}
    runs = []
    for file in FILES:
        lines = (RULES / f"{file}.rules.yml").read_text(encoding="utf-8").splitlines(keepends=True)
        if noticed(file, lines, {}):
            raise SystemExit(f"{file}.test.yml fails as it is")
        found = [*mutants(lines)]
        each = [
            [mutant for mutant in found if mutant[0] == name] for name in dict.fromkeys(name for name, _, _ in found)
        ]
        runs += [(file, lines, [mutant for mutant in turn if mutant]) for turn in itertools.zip_longest(*each)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        complaints = pool.map(
            lambda run: noticed(run[0], run[1], {n: text for _, _, edits in run[2] for n, text in edits.items()}), runs
        )
        for (_, _, turn), names in zip(runs, complaints, strict=True):
            for name, done, _ in turn:
                fate[name, done] = fate.get((name, done), False) or name in names
    alive = [f"{name}: {done}" for (name, done), is_noticed in fate.items() if not is_noticed]
    print(
        f"{len(fate)} mutants of {len({name for name, _ in fate})} alerts in {len(runs)} runs: {len(fate) - len(alive)}"
        " are noticed"
    )
    print("".join(f"  lives: {line}\n" for line in alive), end="")
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main())
