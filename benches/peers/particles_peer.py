"""Bootstrap particle filters of other packages on the problem of benches/particles.rs: systematic resampling.

usage: particles_peer.py particles|numba|jax --model lg|sv --particles N --times T [--every-step] [--single]

lg: x0 ~ N(0, 1/0.19), x' = 0.9 x + N(0, 1), y = x + N(0, 1).   sv: x' = -1 + 0.95 (x + 1) + 0.25 N(0, 1), y = e^(x/2) N(0, 1).
Prints particle-steps per second and seconds (medians of repetitions), and the log-evidence of each. One thread.
"""

import argparse
import math
import os
import statistics
import time

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def constants(model):
    """(mean, persistence, noise) of the state."""
    return (0.0, 0.9, 1.0) if model == "lg" else (-1.0, 0.95, 0.25)


def data(model, times):
    mean, rho, sigma = constants(model)
    rng = np.random.default_rng(7)
    x = mean + sigma / math.sqrt(1 - rho**2) * rng.standard_normal()
    y = np.empty(times)
    for t in range(times):
        if t:
            x = mean + rho * (x - mean) + sigma * rng.standard_normal()
        y[t] = x + rng.standard_normal() if model == "lg" else math.exp(x / 2) * rng.standard_normal()
    return y


def exact(model, y):
    """Log-evidence of the data: Kalman's filter, or sums over a grid of nine stationary deviations either way."""
    mean, rho, sigma = constants(model)
    m, v = mean, sigma**2 / (1 - rho**2)
    evidence = 0.0
    if model == "lg":
        for seen in y:
            s = v + 1
            evidence -= 0.5 * (seen - m) ** 2 / s + 0.5 * math.log(s) + HALF_LOG_TAU
            gain = v / s
            m, v = rho * (m + gain * (seen - m)), rho**2 * (1 - gain) * v + sigma**2
        return evidence
    x = mean + np.linspace(-9, 9, 3001) * math.sqrt(v)
    width = x[1] - x[0]
    law = np.exp(-0.5 * (x - mean) ** 2 / v) / math.sqrt(2 * math.pi * v) * width
    ahead = np.exp(-0.5 * ((x[:, None] - mean - rho * (x[None, :] - mean)) / sigma) ** 2)
    ahead *= width / math.sqrt(2 * math.pi) / sigma
    for seen in y:
        joint = law * np.exp(-0.5 * seen**2 * np.exp(-x) - 0.5 * x - HALF_LOG_TAU)
        evidence += math.log(joint.sum())
        law = ahead @ (joint / joint.sum())
    return evidence


def with_particles(model, y, n, threshold):
    import particles
    from particles import distributions as laws
    from particles import state_space_models as models

    mean, rho, sigma = constants(model)
    start = sigma / math.sqrt(1 - rho**2)

    class Model(models.StateSpaceModel):
        def PX0(self):
            return laws.Normal(loc=mean, scale=start)

        def PX(self, t, xp):
            return laws.Normal(loc=mean + rho * (xp - mean), scale=sigma)

        def PY(self, t, xp, x):
            return laws.Normal(loc=x) if model == "lg" else laws.Normal(scale=np.exp(0.5 * x))

    def run(seed):
        np.random.seed(seed)
        flow = models.Bootstrap(ssm=Model(), data=y)
        filter = particles.SMC(fk=flow, N=n, resampling="systematic", ESSrmin=threshold)
        filter.run()
        return float(filter.logLt)

    return run


def with_numba(model, y, n, threshold):
    import numba

    mean, rho, sigma = constants(model)
    start = sigma / math.sqrt(1 - rho**2)
    volatility = model != "lg"

    @numba.njit(fastmath=True)
    def run(seed):
        np.random.seed(seed)
        x, z, w, weight = np.empty(n), np.empty(n), np.zeros(n), np.empty(n)
        evidence = 0.0
        for t in range(y.size):
            largest = -np.inf
            for i in range(n):
                if t == 0:
                    x[i] = mean + start * np.random.standard_normal()
                else:
                    x[i] = mean + rho * (x[i] - mean) + sigma * np.random.standard_normal()
                if volatility:
                    w[i] += -0.5 * y[t] * y[t] * math.exp(-x[i]) - 0.5 * x[i] - HALF_LOG_TAU
                else:
                    w[i] += -0.5 * (y[t] - x[i]) ** 2 - HALF_LOG_TAU
                largest = max(largest, w[i])
            total, squares = 0.0, 0.0
            for i in range(n):
                weight[i] = math.exp(w[i] - largest)
                total += weight[i]
                squares += weight[i] * weight[i]
            if total * total / squares < threshold * n or t == y.size - 1:
                evidence += largest + math.log(total / n)
                u, reach, j = np.random.random(), weight[0], 0
                for i in range(n):
                    tooth = (i + u) * total / n
                    while reach < tooth and j < n - 1:
                        j += 1
                        reach += weight[j]
                    z[i] = x[j]
                    w[i] = 0.0
                x, z = z, x
        return evidence

    return run


def with_jax(model, y, n, threshold, single):
    import jax

    jax.config.update("jax_enable_x64", not single)
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    mean, rho, sigma = constants(model)
    start = sigma / math.sqrt(1 - rho**2)
    kind = jnp.float32 if single else jnp.float64
    seen = jnp.asarray(y, kind)

    def likelihood(x, y):
        if model == "lg":
            return -0.5 * (y - x) ** 2 - HALF_LOG_TAU
        return -0.5 * y * y * jnp.exp(-x) - 0.5 * x - HALF_LOG_TAU

    @jax.jit
    def filter(key):
        key, first = jax.random.split(key)
        x = mean + start * jax.random.normal(first, (n,), kind)
        w = likelihood(x, seen[0])

        def step(carry, y):
            x, w, key, evidence = carry
            key, a, b = jax.random.split(key, 3)
            total = logsumexp(w)
            ess = jnp.exp(2 * total - logsumexp(2 * w))

            def resample(_):
                cumulative = jnp.cumsum(jnp.exp(w - total))
                comb = (jnp.arange(n) + jax.random.uniform(a, (), kind)) / n
                chosen = jnp.clip(jnp.searchsorted(cumulative, comb), 0, n - 1)
                return x[chosen], jnp.zeros_like(w), evidence + total - jnp.log(n)

            x, w, evidence = jax.lax.cond(ess < threshold * n, resample, lambda _: (x, w, evidence), None)
            x = mean + rho * (x - mean) + sigma * jax.random.normal(b, (n,), kind)
            return (x, w + likelihood(x, y), key, evidence), None

        (x, w, key, evidence), _ = jax.lax.scan(step, (x, w, key, jnp.asarray(0.0, kind)), seen[1:])
        return evidence + logsumexp(w) - jnp.log(n)

    return lambda seed: float(filter(jax.random.key(seed)))


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("package", choices=["particles", "numba", "jax"])
    ask.add_argument("--model", choices=["lg", "sv"], default="sv")
    ask.add_argument("--particles", type=int, default=100_000)
    ask.add_argument("--times", type=int, default=300)
    ask.add_argument("--every-step", action="store_true")
    ask.add_argument("--single", action="store_true")
    ask.add_argument("--repetitions", type=int, default=3)
    asked = ask.parse_args()
    y = data(asked.model, asked.times)
    threshold = 1.1 if asked.every_step else 0.5
    given = (asked.model, y, asked.particles, threshold)
    if asked.package == "jax":
        run = with_jax(*given, asked.single)
    else:
        run = {"particles": with_particles, "numba": with_numba}[asked.package](*given)
    run(0)
    seconds, found = [], []
    for seed in range(1, asked.repetitions + 1):
        start = time.perf_counter()
        found.append(run(seed))
        seconds.append(time.perf_counter() - start)
    rate = asked.particles * asked.times / statistics.median(seconds)
    precision = "f32" if asked.single else "f64"
    print(f"{asked.package} {asked.model} {precision} N={asked.particles} T={asked.times}: {rate / 1e6:.1f} M particle-steps/s")
    print(f"seconds {statistics.median(seconds):.4f}")
    print("log Z " + " ".join(f"{z:.6f}" for z in found))


if __name__ == "__main__":
    main()
