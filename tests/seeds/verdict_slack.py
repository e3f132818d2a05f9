#!/usr/bin/env python3
"""How far right theories are from ending as inconclusive by chance.

usage: verdict_slack.py DIRECTORY...   (of `slowsde verify --out`, one for each seed)
A comparison's slack is the distance of its verdict from inconclusive in standard errors: of the margin from the interval's
end, of each wrong theory from where it is no longer rejected. Prints the least, in the mean over the seeds; exit status 1
where one is less than four standard errors, so that a seed would fail by chance every 1e4 times or more often.
"""
import collections
import json
import math
import pathlib
import sys

LEAST = 4.0


def slacks(comparison, critical, rejection):
    """(what it is of, standard errors) for each way in which the comparison could end as inconclusive."""
    measured, predicted, margin = comparison["measured"], comparison["predicted"], comparison["margin"]
    se = math.hypot(measured["se"], predicted["se"])
    if margin > 0 and se > 0:
        yield "the margin", (margin - abs(measured["mean"] - predicted["mean"])) / se - critical
    for rival in comparison["wrong_theories"]:
        of_rival = math.hypot(measured["se"], rival["predicted"]["se"])
        if of_rival > 0:
            yield rival["name"], (abs(measured["mean"] - rival["predicted"]["mean"]) - margin) / of_rival - rejection


def main(directories):
    if not directories:
        sys.exit(__doc__)
    found = collections.defaultdict(list)
    for directory in directories:
        result = json.loads((pathlib.Path(directory) / "verification.json").read_text(encoding="utf-8"))
        for claim in result["claims"]:
            for comparison in claim["comparisons"]:
                for what, slack in slacks(comparison, result["critical_z"], result["rejection_z"]):
                    found[claim["name"], comparison["quantity"], what].append(slack)
    means = sorted((sum(values) / len(values), min(values), key) for key, values in found.items())
    for mean, least, (claim, quantity, what) in means[:10]:
        print(f"{mean:.1f} standard errors (least {least:.1f}): {claim}, {quantity}: {what}")
    return 1 if not means or means[0][0] < LEAST else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
