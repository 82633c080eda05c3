"""The clients of a server: what is asked of it, once for both, and a thin driver for each.

`import ziet` loads nothing of it; `ziet.Client` and the other names of it do when they are first used.
"""
