"""`python -m dovetail`, for a source tree that is not installed."""

from dovetail.main import main

if __name__ == "__main__":
    main()
