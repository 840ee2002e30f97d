"""Print what every shipped profile is and how well it holds, as Markdown: `python -m sim.fitting.report`."""

from __future__ import annotations

from sim.profile import Profile, list_profiles, load_profile


def profile_lines(profile: Profile) -> list[str]:
    """One row on the profile: hardware, engine, one decode step, one prefill step, KV blocks."""
    cost = profile.step_cost(async_scheduling=True)
    decode = cost.step(1, 500, ())
    batch = cost.step(32, 32 * 500, ())
    prefill = cost.step(0, 0, [(1024, 0)])
    return [
        f"| `{profile.name}` | {profile.measurement.gpu} x{profile.tensor_parallel} | {profile.measurement.engine} "
        f"{profile.measurement.engine_version} | {decode * 1e3:.1f} | {batch * 1e3:.1f} | {prefill * 1e3:.1f} "
        f"| {profile.engine_defaults.num_blocks:,} |"
    ]


def residual_lines(profile: Profile) -> list[str]:
    """One row per set of points, fitted or predicted."""
    return [
        f"| `{profile.name}` | {row.points} | {'fitted' if row.fitted else 'predicted'} | {row.num_points} "
        f"| {row.median:.1%} | {row.p95:.1%} | {row.bias:+.1%} |"
        for row in profile.residuals
    ]


def source_lines(profile: Profile) -> list[str]:
    """One row per source, with its licence."""
    return [f"| `{profile.name}` | {source} |" for source in profile.measurement.sources]


def report() -> str:
    """The whole report."""
    profiles = [load_profile(name) for name in list_profiles()]
    lines = [
        "| profile | GPUs | engine | decode step, 1 call (ms) | decode step, 32 calls (ms) | prefill of 1024 (ms) "
        "| KV blocks |",
        "|---|---|---|---|---|---|---|",
        *(line for profile in profiles for line in profile_lines(profile)),
        "",
        "| profile | points | kind | number | median error | p95 | bias |",
        "|---|---|---|---|---|---|---|",
        *(line for profile in profiles for line in residual_lines(profile)),
        "",
        "| profile | source (licence) |",
        "|---|---|",
        *(line for profile in profiles for line in source_lines(profile)),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
