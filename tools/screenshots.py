"""Pictures of a report's page for the docs: `PYTHONPATH=build/browser python -m tools.screenshots REPORT CHROMIUM`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).parents[1] / "docs" / "images"

SHOTS = (
    ("report-overview", (1200, 760), "light", "", ""),
    ("report-cells", (1200, 620), "dark", "#?backend=torch.*,jax.*,mlx.*,numpy.*&case=2d/*", "#cells"),
    ("report-cell", (390, 760), "light", "#torch.fast/2d/triples/groups-end-padding-gaps/forward/float32", ".sliders"),
)
"""Name, size, colours, address, and what is scrolled to."""

COLOURS = 64


def main(report: str, chromium: str) -> None:
    """Open a page at the sizes of `SHOTS`, and write what is seen as small PNG files."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- installed beside the project by make

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for name, (width, height), scheme, address, place in SHOTS:
            window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            window.goto(Path(report).resolve().as_uri() + address)
            if place:
                window.evaluate("(place) => document.querySelector(place).scrollIntoView()", place)
            window.wait_for_timeout(1500)
            picture = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
            picture.quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
