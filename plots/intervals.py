"""Confidence intervals and tests that the figures state."""
import numpy as np
from scipy import special

LEVEL = 0.95


def quantile(count):
    """Two-sided 95 % quantile of Student's t for the mean of `count` values; NaN for fewer than 2."""
    freedom = np.asarray(count, dtype=float) - 1
    return np.where(freedom >= 1, special.stdtrit(np.maximum(freedom, 1), (1 + LEVEL) / 2), np.nan)


def half_width(series, m):
    """(T) half-width of the 95 % interval of the mean of observable m: 0 where the value is exact."""
    se = series.se[:, m]
    return np.where(se == 0, 0.0, quantile(series.count) * se)


def at(times, series, m):
    """(mean, se) of a series at `times`. Records at other times are interpolated."""
    mean, se = series.mean[:, m], series.se[:, m]
    if len(times) == len(series.t) and np.allclose(times, series.t, rtol=1e-9, atol=1e-12):
        return mean, se
    return np.interp(times, series.t, mean), np.interp(times, series.t, se)


class Estimate:
    """A value with its standard error and the least count of replicas behind it."""

    def __init__(self, value, se=0.0, count=np.inf):
        self.value, self.se, self.count = value, se, count

    @property
    def half(self):
        """Half-width of the 95 % interval."""
        if self.se == 0:
            return 0.0
        return float(quantile(self.count)) * self.se if np.isfinite(self.count) else 1.959963984540054 * self.se

    def __truediv__(self, other):
        """Delta method for independent estimates: (se R / R)^2 = (se a / a)^2 + (se b / b)^2."""
        ratio = self.value / other.value if other.value else np.nan
        relative = np.hypot(self.se / self.value if self.se else 0, other.se / other.value if other.se else 0)
        return Estimate(ratio, abs(ratio) * relative, min(self.count, other.count))


def fall(series, m):
    """First minus last value of observable m."""
    mean, se = series.mean[:, m], series.se[:, m]
    spread = float(np.hypot(se[0], se[-1]))
    return Estimate(float(mean[0] - mean[-1]), spread, float(series.count[-1]) if spread else np.inf)


def kolmogorov_smirnov(a, b):
    """Two-sample distance D and its asymptotic p value with Stephens' correction for finite samples."""
    a, b = np.sort(a), np.sort(b)
    grid = np.concatenate([a, b])
    distance = np.abs(np.searchsorted(a, grid, "right") / a.size - np.searchsorted(b, grid, "right") / b.size).max()
    root = np.sqrt(a.size * b.size / (a.size + b.size))
    return float(distance), float(special.kolmogorov((root + 0.12 + 0.11 / root) * distance))
