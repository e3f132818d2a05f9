"""Rounds of schedules and rules, written from the papers' definitions and from nothing else.

Reads one JSON object a line, {"lr": …, "rule": …, "N": …}, and prints the H of all rounds, one run a line.
"""
import json
import math
import sys


def learning_rate(s, k):
    """lr of step k (0-based): a linear warm-up from the final value, then the schedule's shape."""
    peak, end, w, N = s["peak"], s["end"], s["warmup"], s["total"]
    if k < w:
        return end + k * (peak - end) / w
    if s["shape"] == "constant":
        return peak
    if s["shape"] == "step":
        return peak * s["factor"] ** sum(1 for at in s["at"] if at <= k)
    done = (k - w) / (N - w)
    if s["shape"] == "linear":
        return end + (peak - end) * (1 - done)
    value = end + 0.5 * (peak - end) * (1 + math.cos(math.pi * done))
    if s["shape"] == "cosine-powers":
        return s["base"] ** round_half_away(math.log(value) / math.log(s["base"]))
    return value


def round_half_away(x):
    return math.copysign(math.floor(abs(x) + 0.5), x)


def power(ratio_of, gamma):
    """floor(ratio^gamma) as an integer of any size; None for infinity."""
    try:
        value = ratio_of() ** gamma
    except (ZeroDivisionError, OverflowError):
        return None
    return None if math.isinf(value) else int(value)


def rounds(lr, rule, N):
    k = 0
    while k < N:
        eta, name = learning_rate(lr, k), rule["name"]
        if name == "parallel":
            H = 1
        elif name == "constant":
            H = rule["local_steps"]
        elif name in ("qsr", "power"):
            if k < lr["warmup"]:
                H = rule["base_steps"]
            else:
                H = power(lambda: rule["alpha"] / eta, rule.get("gamma", 2))
                if rule["max_steps"] > 0:
                    H = rule["max_steps"] if H is None else min(H, rule["max_steps"])
                H = None if H is None else max(H, rule["base_steps"])
        elif name == "post-local":
            H = 1 if k < rule["switch_step"] else rule["local_steps"]
        elif name == "swap":
            H = rule["base_steps"] if k < rule["switch_step"] else None
        elif name == "proportional":
            H = max(rule["base_steps"], math.floor(rule["growth"] * k))
        else:
            H = [h for first, h in zip(rule["steps"], rule["local_steps"]) if first <= k][-1]
        H = N - k if H is None else min(H, N - k)
        yield H
        k += H


for line in sys.stdin:
    run = json.loads(line)
    print(*rounds(run["lr"], run["rule"], run["N"]))
