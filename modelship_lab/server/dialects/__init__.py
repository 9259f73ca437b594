"""The APIs of other systems, so that programs written for them work by changing only the base URL."""

from modelship_lab.server.api.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = ()
