#!/usr/bin/env python3
"""The quick verification, and that it tells the wrong theories apart that are easily mistaken for the right one.

usage: check_claims.py PROGRAM; exit status 0 only if every claim is confirmed and each of the wrong theories below is
rejected by at least ten standard errors in a confirmed comparison.
"""
import json
import math
import subprocess
import sys

# What a formula that is wrong by one factor, term or index would be called in a comparison.
WRONG_THEORIES = ["K for K − 1", "ψ ≡ 1", "ψ ≡ 0", "ψ(ηHλ) for ψ(2ηHλ)", "no Itô term", "no cross term",
                  "cross term counted once", "dt for √dt", "B for B_loc", "B_loc for B", "1/n dropped inside ψ",
                  "H off by one"]
REJECTED = 10


def distance(rival):
    """In standard errors; JSON has no infinity, which stands where neither side has an error."""
    if rival["predicted"]["mean"] is None:
        return 0.0
    return math.inf if rival["z"] is None else rival["z"]


def main(program):
    done = subprocess.run([program, "verify", "--suite", "quick", "--quiet", "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"verify ended with exit code {done.returncode}: {done.stderr.strip()}")
    claims = json.loads(done.stdout)["claims"]
    farthest = dict.fromkeys(WRONG_THEORIES, 0.0)
    for claim in claims:
        for comparison in claim["comparisons"]:
            if comparison["verdict"] != "confirmed":
                print(f"{claim['name']}, {comparison['quantity']}: {comparison['verdict']}, {comparison['reason']}")
                continue
            for rival in comparison["wrong_theories"]:
                for name in WRONG_THEORIES:
                    if name in rival["name"]:
                        farthest[name] = max(farthest[name], distance(rival))
    missing = [name for name, z in farthest.items() if not z >= REJECTED]
    for name in missing:
        print(f"nowhere rejected by {REJECTED} standard errors: {name} ({farthest[name]:.1f})")
    print(f"{len(claims)} claims, exit code {done.returncode}")
    sys.exit(1 if missing or done.returncode else 0)


if __name__ == "__main__":
    main(sys.argv[1])
