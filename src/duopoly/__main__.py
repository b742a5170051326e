"""``python -m duopoly``."""

from duopoly.app.cli import main

if __name__ == "__main__":
    main()
