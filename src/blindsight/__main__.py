"""``python -m blindsight``: the command line."""

from blindsight.cli.app import main

if __name__ == "__main__":
    main()
