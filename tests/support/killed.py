"""A process that is killed between two moments at which files appear."""

import os
import shutil


class Killed(BaseException):
    pass


def killed_at_rename(number, patch):
    """From now on the `number`th rename of a file or folder is the last thing that happens."""
    count = 0
    for name in ("rename", "replace"):
        real = getattr(os, name)

        def rename(*arguments, real=real):
            nonlocal count
            count += 1
            if count > number:
                raise Killed
            return real(*arguments)

        patch.setattr(os, name, rename)
    # Nobody cleans up after a kill.
    patch.setattr(shutil, "rmtree", lambda *_, **__: None)
