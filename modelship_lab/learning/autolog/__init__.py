"""Autologging: what other libraries train becomes runs, without a line of code for it.

Importing this package loads none of the libraries.
"""

from modelship_lab.learning.autolog.autolog import FRAMEWORKS, Autologging, autolog

__all__ = ["FRAMEWORKS", "Autologging", "autolog"]
