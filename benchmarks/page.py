"""How long a frame of the inspector's page takes with a million folios: in headless chromium, while it is scrolled.

For docs/inspect.md. Makes a page of made-up folios, opens it from a file, and scrolls through the map, a step a frame. A
frame's time is what the page's own code takes (its scripts and the canvas), by the browser's clock; 60 frames a second
leave 16.7 ms. Beside it the time from frame to frame, which has the browser's drawing without a GPU in it.

    python benchmarks/page.py [--folios 1000000] [--frames 240] [--json]

Needs chromium (Debian: chromium). Network is not used.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from rmaplab.report.inspect_html import page_of

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900", "--no-first-run", "--disable-sync")
LOGGING = ("--enable-logging=stderr", "--disable-background-networking", "--disable-component-update")
PATIENCE = 120
PROBE = """<script>
const took = [], apart = [], began = performance.now();
let step = 0, before = 0;
function frame(now) {
  if (before) apart.push(now - before);
  before = now;
  if (step++ < FRAMES) {
    const from = performance.now();
    scrollTo(0, at("field").offsetTop + at("field").offsetHeight * step / FRAMES);
    paint();
    hover({ clientX: 40 + step % 900, clientY: 300 + step % 200 });
    took.push(performance.now() - from);
    return requestAnimationFrame(frame);
  }
  const from = performance.now();
  draw();
  const short = list => list.map(one => Math.round(10 * one) / 10);
  console.log("REPORT" + JSON.stringify({ took: short(took), apart: short(apart), filter: performance.now() - from,
    loaded: began, cells: shown.length }) + "END");
}
requestAnimationFrame(frame);
</script>"""


def data(folios: int) -> dict[str, Any]:
    """What a look at 40 processes with so many folios would hand to the page."""
    random = np.random.default_rng(1)
    sets = [[p] for p in range(40)] + [sorted(set(random.integers(0, 40, n).tolist())) for n in range(2, 30)]
    order = random.choice([0, 0, 0, 0, 2, 4, 9], folios)
    return {
        "page_size": 4096,
        "kinds": ["anon", "file", "shmem", "ksm"],
        "processes": [
            {"pid": 100 + p, "name": f"worker-{p}", "asked": p < 20, "parent": -1, "command": ""} for p in range(40)
        ],
        "sets": sets,
        "set": random.integers(0, len(sets), folios).tolist(),
        "mapping": random.integers(0, 3, folios).tolist(),
        "mappings": ["[heap]", "(anonymous)", "/usr/lib/libc.so.6"],
        "order": order.tolist(),
        "kind": random.integers(0, 3, folios).tolist(),
        "mapped": (1 << order).tolist(),
        "mapcount": (1 << order).tolist(),
        "flags": random.choice([0, 0, 0, 1, 2, 28], folios).tolist(),
        "summary": f"{folios} folios",
        "trust": "made up",
        "notes": [],
    }


def report(words: list[str]) -> dict[str, Any]:
    """What the page says on its console; the browser is ended then, or after PATIENCE seconds."""
    browser = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    last = threading.Timer(PATIENCE, os.killpg, (browser.pid, signal.SIGKILL))
    last.start()
    try:
        assert browser.stderr is not None
        for line in browser.stderr:
            if "REPORT{" in line:
                found: dict[str, Any] = json.loads(line[line.index("REPORT{") + 6 : line.rindex("END")])
                return found
    finally:
        last.cancel()
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    raise SystemExit(f"the page said nothing in {PATIENCE} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folios", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="rmaplab-bench-") as folder:
        page = Path(folder) / "page.html"
        probe = PROBE.replace("FRAMES", str(wish.frames))
        page.write_text(page_of(data(wish.folios)).replace("</body>", probe + "</body>"))
        words = [chromium, *FLAGS, *LOGGING, f"--user-data-dir={folder}/profile", page.as_uri()]
        found = report(words)
    if wish.json:
        print(json.dumps(found))
        return
    print(f"{found['cells']} folios, {len(found['took'])} frames, {os.cpu_count()} CPUs, no GPU; milliseconds\n")
    print("| | median | 95 % below | longest |")
    print("|---|---|---|---|")
    for name, values in (("the page's own part of a frame", found["took"]), ("from frame to frame", found["apart"])):
        high = sorted(values)[int(len(values) * 0.95)]
        print(f"| {name} | {statistics.median(values):.1f} | {high:.1f} | {max(values):.1f} |")
    print(f"| a filter over all folios | {found['filter']:.0f} | | |")
    print(f"| until the page stands | {found['loaded']:.0f} | | |")


if __name__ == "__main__":
    main()
