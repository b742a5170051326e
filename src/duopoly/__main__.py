"""``python -m duopoly``."""

from duopoly.cli.main import main

if __name__ == "__main__":
    main()
