"""`python -m lockstep`: the same as the `lockstep` command."""

from lockstep.main import app

if __name__ == "__main__":
    app()
