"""``python -m lcl_ref`` is the command line ``lcl``."""

from lcl_ref.cli import main

if __name__ == "__main__":
    main()
