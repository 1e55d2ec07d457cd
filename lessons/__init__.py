"""The course: scripts in reading order, run together by `python -m lessons`. README.md says how to read them."""
