"""Judges a kosoku report: `websocket-report.py INDEX EXCEPTIONS`.

Prints the cases that failed and, as its last line, two numbers: passed and failed. A case of the exceptions file is
not counted when it fails, and counts as failed when it passes: the list stays true.
"""

import json
import sys

PASSES = {"OK", "NON-STRICT", "INFORMATIONAL"}
# The whole suite without groups 12 and 13 has 301 cases; a run that lost most of them proves nothing.
LEAST_CASES = 290


def exceptions(path):
    listed = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                case, _, reason = line.partition(" ")
                if not reason.strip():
                    sys.exit(f"{path}: {case} has no reason")
                listed[case] = reason.strip()
    return listed


def main(index, exceptions_file):
    with open(index, encoding="utf-8") as file:
        (cases,) = json.load(file).values()
    listed = exceptions(exceptions_file)
    passed = failed = 0
    for case, result in sorted(cases.items(), key=lambda c: [int(n) for n in c[0].split(".")]):
        fine = {result["behavior"], result["behaviorClose"]} <= PASSES
        if case in listed:
            if fine:
                print(f"{case}: passes now; take it off the list of exceptions")
                failed += 1
            else:
                print(f"{case}: excepted: {listed[case]}")
        elif fine:
            passed += 1
        else:
            print(f"{case}: {result['behavior']}, close {result['behaviorClose']}, code {result['remoteCloseCode']}")
            failed += 1
    for case in listed.keys() - cases.keys():
        print(f"{case}: is an exception but was not run")
        failed += 1
    if len(cases) < LEAST_CASES:
        print(f"only {len(cases)} cases were run")
        failed += 1
    print(passed, failed)


main(*sys.argv[1:])
