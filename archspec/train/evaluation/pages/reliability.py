"""A reliability diagram (DeGroot and Fienberg 1983) as SVG: how often right, by how sure."""

from __future__ import annotations

import math

from archspec.train.evaluation.calibration import BINS, Calibration

SIDE, MARGIN = 400, 60
RIGHT, LINE = "#0072b2", "#8a93a0"


def draw_reliability(found: Calibration) -> str:
    """Return the diagram: a bar for each bin, and the line on which sureness is share of right."""
    bars = "".join(_draw_bar(found, number) for number in range(BINS))
    size = SIDE + 2 * MARGIN
    bottom, middle = MARGIN + SIDE, MARGIN + SIDE / 2
    ticks = "".join(_draw_tick(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    return (
        f'<svg class="reliability" viewBox="0 0 {size} {size}" role="img" font-size="13">\n'
        f"<title>Share of right guesses by probability</title>\n{bars}{ticks}\n"
        f'<path d="M{MARGIN} {bottom}L{bottom} {MARGIN}" stroke="{LINE}" stroke-dasharray="5 4"/>\n'
        f'<path d="M{MARGIN} {MARGIN}V{bottom}H{bottom}" fill="none" stroke="{LINE}"/>\n'
        f'<text x="{middle}" y="{size - 8}" text-anchor="middle">probability of the first guess'
        f"</text>\n"
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        f"share that is right</text>\n</svg>"
    )


def _draw_bar(found: Calibration, number: int) -> str:
    share, images = float(found.accuracy[number]), int(found.images[number])
    if math.isnan(share):
        return ""
    width, height = SIDE / BINS, share * SIDE
    x, y = MARGIN + number * width, MARGIN + SIDE - height
    sure = float(found.mean_probability[number])
    words = f"{images:,} images: {share:.1%} right, {sure:.1%} sure"
    # Bins of few images tell little.
    opacity = 0.25 + 0.75 * math.sqrt(images / float(found.images.max()))
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}" '
        f'fill="{RIGHT}" opacity="{opacity:.2f}"><title>{words}</title></rect>\n'
    )


def _draw_tick(share: float) -> str:
    place, bottom = MARGIN + share * SIDE, MARGIN + SIDE
    return (
        f'<text x="{place}" y="{bottom + 16}" text-anchor="middle">{share:.0%}</text>'
        f'<text x="{MARGIN - 5}" y="{bottom - share * SIDE + 4}" text-anchor="end">{share:.0%}'
        f"</text>"
    )
