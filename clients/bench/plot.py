"""A picture of a report, for --plot. Needs matplotlib, and says so before anything is measured."""

from pathlib import Path
from typing import Any

from autocoder.daemon.errors import ConfigError

FORMATS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raises ConfigError where no picture could be written to `path`."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--plot needs matplotlib ({error}); install it with: pip install matplotlib"
        ) from error
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--plot {path}: the name must end in one of {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: there is no folder {path.absolute().parent}")


def draw(path: Path, points: dict[str, Any], report: dict[str, Any]) -> None:
    """Points over their positions; the quantiles, where the report has them, as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    (x_label, x), (y_label, y) = points["x"], points["y"]
    axes.plot(x, y, "." if "p50_ms" in report else "o-", markersize=4)
    for key, style in (("p50_ms", "-"), ("p95_ms", "--"), ("p99_ms", ":")):
        if report.get(key) is not None:
            label = f"{key[:3]} {report[key]:.0f} ms"
            axes.axhline(report[key], linestyle=style, color="tab:red", linewidth=1, label=label)
    if "p50_ms" in report:
        axes.legend()
    axes.set(title=points["title"], xlabel=x_label, ylabel=y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.savefig(path)
