"""Settings for servers that end with their test: nobody there waits for a turn to finish, nor for a title to be made."""

from typing import Final

from legato.engine.settings import EngineSettings

BRIEF: Final = EngineSettings(grace_s=0.1, titles=False)
