#!/usr/bin/env python3
"""Writes the synthetic training log of experiments/configs/plan-log.toml to standard output.

4000 steps of a cosine from 0.2 with QSR (alpha 0.4, H_base 2): 0.31 s of computation a step, 0.85 s an average, and
independent noise of 0.02 s in every step. One row a round, as a training loop would log it.
"""
import math
import random


def main(N=4000, warmup=200, peak=0.2, end=1e-4, alpha=0.4, base=2):
    noise = random.Random(1)
    print("step,loss,lr,wall time (s),H")
    k, seconds = 0, 12.5
    while True:
        lr = (end + k * (peak - end) / warmup if k < warmup else
              end + 0.5 * (peak - end) * (1 + math.cos(math.pi * (k - warmup) / (N - warmup))))
        H = base if k < warmup else max(base, int((alpha / lr) ** 2))
        H = max(1, min(H, N - k))
        print(f"{k},{2 * math.exp(-k / 900) + 0.1:.4f},{lr:.8g},{seconds:.3f},{H}")
        if k == N:
            return
        seconds += 0.31 * H + 0.85 + noise.gauss(0, 0.02 * math.sqrt(H))
        k += H


main()
