"""Run by `python3 -m unittest`, without a component. The SDK lies where `postern plugin build` has put it."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent / ".postern" / "sdk"))
