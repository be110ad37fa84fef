import numpy as np


def correlated(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 11, n) / 2.0  # with ties
    return gold + noise * generator.normal(size=n), gold
