"""`python -m modelship_lab.worker`; see `main.py` for its options."""

from time import perf_counter

_started = perf_counter()  # before the imports, for their time is part of the cold start

from modelship_lab.worker.main import main  # noqa: E402

if __name__ == "__main__":
    main(_started)
